"""A walk through the whole: a slide comes by C-STORE while the page is open, and everything about it is looked at."""

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anndata
import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.gateway.server import AE_TITLE, Server
from tests.page.conftest import needs_chromium
from tests.page.planted_site import HALF_WIDTH, HIDDEN_REASON, read_planted
from tests.page.slide_view import SlideView
from tests.page.test_slide_view import RANDOM, SPOT, glass, in_map, is_clear_of_panels
from tests.peers.dcmtk import needs_dcmtk, run_storescp
from tests.service.served import Site
from tests.viewers.planted import HOT_PX, NOW, RECIPE
from vst_dicom.cli.main import app
from vst_dicom.domain.wording import RESEARCH_USE_ONLY
from vst_dicom.runtime.orthanc import free_ports
from vst_dicom.simulate.writing import write_simulated_slide

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Download

pytestmark = [needs_chromium, needs_dcmtk]

_DONE_MS: Final = 60_000
_SETTINGS: Final = """
data_dir = {data}
[dicom]
ae_title = "{ae_title}"
port = {port}
[storage]
reserve_bytes = 0
reserve_fraction = 0
[study]
quiet_s = 1
[web]
port = {web_port}
[serve]
poll_s = 0.2
beat_s = 0.5
dead_after_s = 5
shutdown_s = 5
[encode]
independent_validator = false
[destinations.pacs]
ae_title = "{pacs}"
host = "127.0.0.1"
port = {pacs_port}
"""


class WalkServer(Server):
    """All processes, with a planted model."""

    def _command(self, role: str, _slot: int) -> list[str]:
        line = f"exec {sys.executable} -m tests.page.walk_role {role} {self.config} >>{self.log} 2>&1"
        return ["/bin/sh", "-c", line]


@dataclass(frozen=True)
class Walk:
    """The page after a slide came.

    Parameters
    ----------
    view
        The page.
    seen
        What the slide's row said about its state, one after the other.
    notices
        Whether the notice was to be seen all the time.
    """

    view: SlideView
    seen: list[str]
    notices: list[bool]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WalkServer]:
    folder = tmp_path_factory.mktemp("walk")
    port, web_port = free_ports(2)
    with run_storescp(folder / "pacs") as pacs:
        text = _SETTINGS.format(
            data=json.dumps(str(folder / "data")),
            ae_title=AE_TITLE,
            port=port,
            web_port=web_port,
            pacs=pacs.ae_title,
            pacs_port=pacs.port,
        )
        (folder / "vst-dicom.toml").write_text(text)
        made = WalkServer(folder, port)
        with made.running():
            yield made


@pytest.fixture(scope="module")
def walk(browser: "Browser", server: WalkServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Open the worklist, send a slide, and watch until its result is there."""
    slide = write_simulated_slide(RECIPE, tmp_path_factory.mktemp("slide"), now=NOW)
    url = f"http://127.0.0.1:{server.settings.web.port}"
    with SlideView.opened(browser, url, None, accept_downloads=True) as view:  # type: ignore[arg-type]
        view.page.goto(url)
        view.page.get_by_text("No slide has come yet").wait_for()
        view.page.evaluate(
            "() => { window.seen = []; window.notices = [];"
            "  const look = () => { const row = document.querySelector('li.slide .how');"
            "    window.notices.push(document.querySelector('header .notice').checkVisibility());"
            "    if (row && window.seen.at(-1) !== row.innerText) window.seen.push(row.innerText); };"
            "  new MutationObserver(look).observe(document.querySelector('main'),"
            "    { childList: true, subtree: true, characterData: true }); }"
        )
        folder = str(slide.instances[0].parent)
        sent = CliRunner().invoke(app, ["send", folder, "--to", f"{AE_TITLE}@127.0.0.1:{server.port}"])
        assert sent.exit_code == 0, sent.output
        view.page.get_by_role("link", name="Open").wait_for(timeout=_DONE_MS)
        view.page.locator(".delivery.good").wait_for(timeout=_DONE_MS)
        address = view.page.get_by_role("link", name="Open").get_attribute("href") or ""
        view.planted = read_planted(Site(server.settings, server.database), address.rpartition("/")[2])
        yield Walk(view, *(view.page.evaluate(f"window.{name}") for name in ("seen", "notices")))


def test_a_slide_appears_by_itself_and_its_progress_is_seen(walk: Walk) -> None:
    steps = [int(text.split()[-2]) for text in walk.seen if text.startswith("Running") and "predict" in text]

    assert walk.seen[0].startswith(("Arriving", "Waiting"))
    assert len(set(steps)) >= 3, walk.seen
    assert steps == sorted(steps)
    assert walk.seen[-1].startswith("Done")
    assert all(walk.notices)


def test_it_says_what_was_sent_where(walk: Walk) -> None:
    page = walk.view.page
    page.goto(f"{walk.view.url}/#/destinations")

    page.get_by_role("heading", name="pacs").wait_for()
    assert "1 sent" in page.locator("main").inner_text()
    assert "C-STORE to" in page.locator("main").inner_text()


def test_a_click_shows_the_map_over_the_right_tissue(walk: Walk) -> None:
    view, planted = walk.view, walk.view.planted
    view.page.goto(view.url)
    view.page.get_by_role("link", name="Open").click()
    view.page.wait_for_selector("[data-open=true]")
    view.choose("RANDOM")
    view.show("gene:RANDOM")
    view.page.evaluate("slidePage.state.set({ opacity: 1, masked: false, hotspots: false })")

    tiles, empty = view.tiles(), view.find(glass(planted))
    tiles, values = tiles[free := is_clear_of_panels(view, tiles)], planted.values[free, RANDOM]
    empty = empty[is_clear_of_panels(view, empty)]
    share = (values - planted.values[:, RANDOM].min()) / np.ptp(planted.values[:, RANDOM])
    assert len(values) > 100
    assert np.abs(view.pixels(tiles) - in_map("viridis", planted.values[:, RANDOM])[free]).max() <= 4, share
    view.page.evaluate("slidePage.state.set({ opacity: 0 })")
    assert np.ptp(view.pixels(tiles), axis=1).mean() > 3 * np.ptp(view.pixels(empty), axis=1).mean()


def test_the_hotspot_list_flies_to_the_place_that_was_planted(walk: Walk) -> None:
    view = walk.view
    view.page.goto("about:blank")
    view.open("first=gene:RANDOM")
    view.page.get_by_role("tab", name="Hotspots").click()
    view.page.get_by_role("button", name="SPOT mean").first.click()
    view.show("gene:SPOT")

    view.page.wait_for_function("() => slidePage.maps.lead.transform.scale > 0.4")
    view.look()
    x, y = view.page.evaluate("slidePage.maps.lead.place").copy()[:2]
    assert np.hypot(x - HOT_PX[0], y - HOT_PX[1]) < 300


def test_a_hidden_gene_says_why(walk: Walk) -> None:
    walk.view.page.goto("about:blank")
    walk.view.open("first=gene:SPOT")
    walk.view.choose("SECRET")

    walk.view.page.get_by_label("Legend").get_by_text(HIDDEN_REASON[1:]).wait_for()


def test_what_is_exported_opens_and_says_the_same(walk: Walk) -> None:
    view, values = walk.view, walk.view.planted.values
    view.page.goto("about:blank")
    view.open("first=gene:SPOT")
    view.look()
    view.page.keyboard.press("e")

    table = anndata.read_h5ad(download(walk, "expression.h5ad").path())
    np.testing.assert_array_equal(table[:, "SPOT"].X[:, 0], values[:, SPOT])
    features = json.loads(download(walk, "tiles.geojson").path().read_text())["features"]
    tiles = [one["properties"] for one in features if one["properties"]["objectType"] == "tile"]
    np.testing.assert_allclose([one["measurements"]["SPOT"] for one in tiles], values[:, SPOT], atol=1e-4)
    lines = download(walk, "All values as CSV").path().read_text()
    assert RESEARCH_USE_ONLY in lines.splitlines()[0]
    written = pd.read_csv(io.StringIO(lines), comment="#", dtype={"SPOT": np.float32})
    np.testing.assert_array_equal(written["SPOT"], values[:, SPOT])
    assert "SECRET" not in lines
    with zipfile.ZipFile(download(walk, "All DICOM objects as ZIP").path()) as archive:
        assert archive.testzip() is None
        objects = [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()]
    assert {"OT", "SEG", "ANN", "SR"} <= {one.Modality for one in objects}
    with view.page.expect_download() as waiting:
        view.page.get_by_role("button", name="This view as PNG").click()
    assert Image.open(waiting.value.path()).format == "PNG"


def test_keys_alone_lead_from_the_worklist_to_a_value(walk: Walk) -> None:
    view = walk.view
    view.page.goto("about:blank")
    view.page.goto(view.url)
    view.page.get_by_role("link", name="Open").wait_for()
    for _ in range(40):
        view.page.keyboard.press("Tab")
        if view.page.evaluate("document.activeElement.textContent") == "Open":
            break
    view.page.keyboard.press("Enter")
    view.page.wait_for_selector("[data-open=true]")
    view.page.keyboard.press("/")
    view.page.keyboard.type("spot")
    view.page.keyboard.press("Enter")
    view.show("gene:SPOT")
    view.page.keyboard.press("Escape")
    view.page.keyboard.press("n")
    view.look()
    view.page.keyboard.press("v")

    readout = view.page.locator(".readout .value").inner_text()
    low, high = (float(part) for part in readout.partition("[")[2].rstrip("]").split(" to "))
    assert readout.startswith("SPOT ")
    assert high - low == pytest.approx(2 * HALF_WIDTH, abs=0.011)


def test_a_narrow_screen_shows_list_and_map(walk: Walk, browser: "Browser") -> None:
    with SlideView.opened(
        browser, walk.view.url, walk.view.planted, (390, 844), has_touch=True, is_mobile=True
    ) as view:
        view.page.goto(view.url)
        view.page.get_by_role("link", name="Open").tap()
        view.page.wait_for_selector("[data-open=true]")
        view.show("gene:SPOT")
        tile = int(view.planted.values[:, SPOT].argmax())
        row, column = view.tiles()[tile].tolist()
        view.page.touchscreen.tap(column, row)
        view.page.locator(".readout").get_by_text("SPOT").wait_for()

        assert view.page.evaluate("document.documentElement.scrollWidth") == 390
        assert view.page.locator("header .notice").is_visible()


def test_it_asked_nobody_else_and_nothing_went_wrong(walk: Walk) -> None:
    assert walk.view.outside_requests == []
    assert walk.view.faults == []


def download(walk: Walk, name: str) -> "Download":
    with walk.view.page.expect_download() as waiting:
        walk.view.page.get_by_role("link", name=name).click()
    return waiting.value
