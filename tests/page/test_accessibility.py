"""axe-core finds no serious fault, in light and in dark, wide and narrow."""

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.page import npm
from tests.page.conftest import needs_chromium
from tests.page.planted_site import PlantedSite
from tests.page.slide_view import SlideView
from tests.page.test_worklist import listed  # noqa: F401 - a fixture
from tests.service.served import Web

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_chromium

_REQUIRED = bool(os.environ.get("VST_DICOM_REQUIRE_PROGRAMS"))
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def axe() -> str:
    """The program, from the npm registry."""
    try:
        return (npm.fetch(npm.AXE) / "axe.min.js").read_text(encoding="utf-8")
    except OSError as error:
        if _REQUIRED:
            raise
        pytest.skip(f"needs axe-core: {error}")


def serious_faults(view: SlideView, axe: str) -> list[str]:
    view.page.evaluate(axe)
    found: dict[str, Any] = view.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{fault['id']}: {node['html'][:160]}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize(
    ("scheme", "size", "query", "tabs"),
    [
        ("light", (1200, 800), "first=gene:SPOT", ["Hotspots", "Details"]),
        ("dark", (1200, 800), "first=gene:SPOT&second=gene:RANDOM&mode=blend", ["Display"]),
        ("light", (390, 844), "first=hidden:gene:SECRET", []),
    ],
)
def test_the_slide_view_has_no_serious_fault(
    browser: "Browser",
    web: Web,
    planted: PlantedSite,
    axe: str,
    scheme: str,
    size: tuple[int, int],
    query: str,
    tabs: list[str],
) -> None:
    with SlideView.opened(browser, web.url, planted, size, color_scheme=scheme) as view:
        view.open(query)
        faults = serious_faults(view, axe)
        for tab in tabs:
            view.page.get_by_role("tab", name=tab).click()
            faults += serious_faults(view, axe)

    assert faults == []


def test_the_worklist_has_no_serious_fault(view: SlideView, listed: list[str], axe: str) -> None:  # noqa: F811
    assert serious_faults(view, axe) == []


@pytest.mark.parametrize(("scheme", "size"), [("light", (1200, 800)), ("dark", (390, 844))])
def test_every_other_page_and_state_has_no_serious_fault(
    browser: "Browser", web: Web, planted: PlantedSite, axe: str, scheme: str, size: tuple[int, int]
) -> None:
    faults = {}
    with SlideView.opened(browser, web.url, planted, size, color_scheme=scheme) as view:
        view.open("first=gene:SPOT&second=gene:RANDOM&mode=side")
        faults["side"] = serious_faults(view, axe)
        view.page.keyboard.press("?")
        faults["dialog"] = serious_faults(view, axe)
        for path, text in (("bundles", "genes shown"), ("destinations", "no destination"), ("nowhere", "no such page")):
            view.page.goto(f"{web.url}/#/{path}")
            view.page.get_by_text(text).first.wait_for()
            faults[path] = serious_faults(view, axe)
        view.page.goto(f"{web.url}/#/bundles/her2st-lite")
        view.page.locator("iframe").wait_for()
        faults["card"] = serious_faults(view, axe)
        login = {"login": "token", "subject": "", "role": "public"}
        view.page.route("**/api/v1/session", lambda route: route.fulfill(json=login))
        view.page.route("**/api/v1/slides*", lambda route: route.fulfill(status=401, json={"detail": "log in"}))
        view.page.goto(f"{web.url}/#/")
        view.page.get_by_label("API token").wait_for()
        faults["login"] = serious_faults(view, axe)

    assert {state: found for state, found in faults.items() if found} == {}


def test_the_library_is_the_published_one() -> None:
    try:
        published = npm.fetch(npm.OPENSEADRAGON)
    except OSError as error:
        if _REQUIRED:
            raise
        pytest.skip(f"needs the npm registry: {error}")

    for source, name in npm.VENDORED.items():
        assert (npm.PAGE / name).read_bytes() == (published / source).read_bytes()
