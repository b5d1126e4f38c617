"""One server with a known result, one browser, and a fresh page for each test."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.page.planted_site import PlantedSite, plant_site
from tests.page.slide_view import SlideView
from tests.programs import needs
from tests.service.served import Web
from tests.viewers.screen import open_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_FAILURES: Final = Path(os.environ.get("VST_DICOM_VIEWER_FAILURES") or "viewer-failures")
needs_chromium: Final = needs("chromium", "chromium")


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantedSite]:
    """A slide with its result; tests leave them as they are."""
    made = plant_site(tmp_path_factory.mktemp("page"))
    yield made
    made.site.database.dispose()


@pytest.fixture(scope="session")
def web(planted: PlantedSite) -> Iterator[Web]:
    """The running server."""
    with planted.site.serving() as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium; it ends with its module, since its event loop would disturb tests of others."""
    with open_browser() as opened:
        yield opened


@pytest.fixture
def view(browser: "Browser", web: Web, planted: PlantedSite) -> Iterator[SlideView]:
    """A fresh page of the usual size, on no address yet."""
    with SlideView.opened(browser, web.url, planted) as opened:
        yield opened


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep what the screen of a failed test showed."""
    outcome: Any = yield
    report = outcome.get_result()
    view = getattr(item, "funcargs", {}).get("view")
    if report.failed and report.when == "call" and view is not None:
        _FAILURES.mkdir(parents=True, exist_ok=True)
        file = _FAILURES / f"{item.name.replace('/', '-')}.png"
        view.page.screenshot(path=file)
        report.sections.append(("Screen", f"kept as {file.resolve()}"))
        report.sections.append(("Console", "\n".join(view.console[-40:])))
