"""The slide view on a real server: the right colors over the right tissue, and nothing where nothing was predicted."""

import json
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from tests.page.conftest import needs_chromium
from tests.page.planted_site import HALF_WIDTH, HIDDEN_REASON, PlantedSite
from tests.page.slide_view import SlideView
from tests.service.served import Web
from tests.viewers.planted import HOT_PX
from vst_dicom.domain.tiles import TileGrid

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_chromium

RANDOM, SPOT = 0, 1


def glass(planted: PlantedSite) -> NDArray[np.float64]:
    """Middles of the cells of the grid that have neither a tile nor masked tissue."""
    is_free = ~planted.grid.mask
    is_free[tuple(planted.masked_cells.T)] = False
    cells = np.argwhere(is_free).astype(np.int32)
    return TileGrid(planted.grid.tile_size, planted.grid.size, cells).centers_px


def in_map(name: str, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Colors that matplotlib gives to values between the lowest and the highest."""
    share = (values - values.min()) / np.ptp(values)
    return np.asarray(colormaps[name](share))[:, :3] * 255


def is_clear_of_panels(view: SlideView, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether nothing but the slide lies at a place on the screen."""
    return np.array(
        view.page.evaluate(
            "(places) => places.map(([row, column]) => Boolean(document.elementFromPoint(column, row)"
            "?.closest('.viewer')))",
            places.tolist(),
        )
    )


def test_each_tile_has_the_color_of_its_value_and_glass_stays_clear(view: SlideView, planted: PlantedSite) -> None:
    view.open("first=gene:RANDOM&opacity=1")
    view.show("gene:RANDOM")

    tiles = view.tiles()
    free = is_clear_of_panels(view, tiles)
    painted = view.pixels(tiles[free])
    difference = np.abs(painted - in_map("viridis", planted.values[:, RANDOM])[free]).max(axis=1)
    assert free.sum() > 100
    assert difference.max() <= 4

    empty = view.find(glass(planted))
    empty = empty[is_clear_of_panels(view, empty)]
    with_map = view.pixels(empty)
    view.page.evaluate("slidePage.maps.lead.show({})")
    assert np.array_equal(view.pixels(empty), with_map)


def test_a_tile_ends_at_its_edge_whatever_the_zoom(view: SlideView, planted: PlantedSite) -> None:
    view.open(f"first=gene:RANDOM&opacity=1&at={HOT_PX[0]},{HOT_PX[1]},1.5")
    view.show("gene:RANDOM")
    expected = in_map("viridis", planted.values[:, RANDOM])

    for corner in (-0.5, 0.5):
        inset = corner * (np.array([planted.grid.tile_size.n_columns, planted.grid.tile_size.n_rows]) - 6)
        places = view.find(planted.grid.centers_px + 0.5 + inset)
        seen = (places >= 0).all(axis=1) & (places < (800, 1200)).all(axis=1)
        seen[seen] &= is_clear_of_panels(view, places[seen])
        assert seen.sum() >= 4
        assert np.abs(view.pixels(places[seen]) - expected[seen]).max() <= 4


def test_masked_tissue_is_hatched_and_has_no_color_of_a_value(view: SlideView, planted: PlantedSite) -> None:
    view.open("first=gene:RANDOM&opacity=1")
    view.show("gene:RANDOM")
    masked = TileGrid(planted.grid.tile_size, planted.grid.size, planted.masked_cells).centers_px
    steps = np.stack(np.meshgrid(np.arange(-6, 7), np.arange(-6, 7)), axis=-1).reshape(-1, 2)

    spots = (view.find(masked)[:, None, :] + steps).reshape(-1, 2)
    hatched = view.pixels(spots)
    view.page.get_by_role("tab", name="Display").click()
    view.page.get_by_label("Hatch masked tissue").uncheck()
    bare = view.pixels(spots)

    is_line = (np.abs(hatched - bare).max(axis=1) > 40).reshape(len(masked), -1)
    assert (is_line.mean(axis=1) > 0.1).all()
    assert (is_line.mean(axis=1) < 0.7).all()


def test_the_hotspot_list_flies_there(view: SlideView) -> None:
    view.open("first=gene:RANDOM")
    view.page.get_by_role("tab", name="Hotspots").click()
    view.page.get_by_role("button", name="SPOT mean").first.click()
    view.show("gene:SPOT")

    view.page.wait_for_function("() => Math.abs(slidePage.maps.lead.transform.scale) > 0.4")
    view.look()
    x, y = view.page.evaluate("slidePage.maps.lead.place").copy()[:2]
    assert np.hypot(x - HOT_PX[0], y - HOT_PX[1]) < 300
    assert view.page.get_by_role("button", name="SPOT mean").first.get_attribute("aria-pressed") == "true"


def test_a_hidden_gene_says_why_and_shows_no_map(view: SlideView, web: Web, planted: PlantedSite) -> None:
    view.open("first=gene:SPOT&opacity=1")
    view.show("gene:SPOT")
    view.page.evaluate("slidePage.maps.lead.show({})")
    bare = view.pixels(view.tiles())

    view.choose("SECRET")
    legend = view.page.get_by_label("Legend")
    legend.get_by_text("not supported: hidden").wait_for()

    assert HIDDEN_REASON[1:] in legend.inner_text()
    view.page.get_by_role("tab", name="Display").click()
    view.page.get_by_label("Hatch masked tissue").uncheck()
    assert np.array_equal(view.pixels(view.tiles()), bare)
    answer = web.get(f"/api/v1/results/{planted.key}/layers/gene:SECRET")
    assert answer.status_code == 404
    assert all(layer["label"] != "SECRET" for layer in web.get(f"/api/v1/results/{planted.key}/view").json()["layers"])


def test_the_value_below_the_pointer_comes_with_its_interval(view: SlideView, planted: PlantedSite) -> None:
    view.open("first=gene:SPOT")
    view.show("gene:SPOT")
    tile = int(planted.values[:, SPOT].argmax())
    row, column = view.tiles()[tile].tolist()

    view.page.mouse.move(column, row)

    value = planted.values[tile, SPOT]
    expected = f"SPOT {value:.2f} [{value - HALF_WIDTH:.2f} to {value + HALF_WIDTH:.2f}]"
    view.page.wait_for_function("(text) => document.querySelector('.readout').textContent === text", arg=expected)


def test_the_evidence_is_said_in_words(view: SlideView) -> None:
    view.open("first=gene:SPOT")

    legend = view.page.get_by_label("Legend")
    legend.get_by_text("r = 0.52 [0.41–0.60] in 8 held-out patients").wait_for()
    legend.get_by_text("ln(1+CP10k)").wait_for()
    view.choose("RANDOM")
    legend.get_by_text("exploratory").wait_for()


def test_two_maps_side_by_side_show_the_same_place(view: SlideView, planted: PlantedSite) -> None:
    view.open("first=gene:SPOT&second=gene:RANDOM&mode=side&opacity=1&masked=0&hotspots=0")
    view.page.wait_for_selector("[data-shown='gene:RANDOM']", state="attached")
    view.look()
    view.page.evaluate("slidePage.maps.lead.zoomBy(1.5)")
    view.look()

    first, second = (view.tiles(pane) for pane in (0, 1))
    width = np.diff([first[0, 1], second[0, 1]])[0]
    np.testing.assert_allclose(second - first, np.tile([0, width], (len(first), 1)), atol=2)
    seen = is_clear_of_panels(view, second) & (second[:, 1] > width + 4)
    expected = in_map("viridis", planted.values[:, RANDOM])
    assert np.abs(view.pixels(second[seen]) - expected[seen]).max() <= 4


def test_a_key_moves_both_maps_all_the_way_even_right_after_a_change_of_mode(view: SlideView) -> None:
    view.open("first=gene:SPOT&second=gene:RANDOM&mode=side")
    view.page.wait_for_selector("[data-shown='gene:RANDOM']", state="attached")
    view.look()
    before_px = view.find(np.zeros((1, 2)))[0, 1]
    view.page.keyboard.press("ArrowRight")
    view.look()
    assert abs(before_px - 90 - view.find(np.zeros((1, 2)))[0, 1]) <= 3

    places = "slidePage.maps.all.map(({ place }) => place[0])"
    assert abs(np.diff(view.page.evaluate(places))[0]) < 2
    for mode in ("1", "2"):
        before = view.page.evaluate(places)[0]
        view.page.keyboard.press(mode)
        view.page.keyboard.press("ArrowRight")
        view.look()
        assert view.page.evaluate(places)[0] > before + 10


def test_a_link_brings_the_view_back(view: SlideView) -> None:
    view.open("first=gene:SPOT")
    view.page.keyboard.press("m")
    view.page.keyboard.press("o")
    view.page.evaluate("slidePage.maps.lead.goTo([1500, 1200, 0.8])")
    view.page.keyboard.press("l")
    address = view.page.url

    view.page.goto("about:blank")
    view.page.goto(address)
    view.page.wait_for_selector("[data-open=true]")

    x, y, scale = view.page.evaluate("slidePage.maps.lead.place")
    assert (round(x), round(y), round(scale, 2)) == (1500, 1200, 0.8)
    assert "colors=magma" in address
    assert "opacity=0.55" in address


def test_keys_alone_reach_everything(view: SlideView) -> None:
    view.open("first=gene:RANDOM")
    press = view.page.keyboard.press

    press("/")
    view.page.keyboard.type("spo")
    press("Enter")
    view.show("gene:SPOT")
    press("Tab")
    press("Shift+Tab")
    press("Shift+Tab")
    press("n")
    hotspots = view.page.get_by_role("tab", name="Hotspots")
    assert hotspots.get_attribute("aria-selected") == "true"
    assert hotspots.evaluate("tab => tab === document.activeElement")
    view.look()
    press("v")
    view.page.locator(".readout").get_by_text("SPOT").wait_for()
    press("?")
    view.page.get_by_role("dialog").get_by_text("Search genes and signatures").wait_for()
    press("Escape")
    press("2")
    view.page.wait_for_selector(".panes[data-mode=side]")
    press("1")
    view.look()
    while not view.page.evaluate("document.activeElement.matches('[role=application]')"):
        assert not view.page.evaluate("document.activeElement.matches('body')")
        press("Shift+Tab")
    before = view.page.evaluate("slidePage.maps.lead.place")
    press("ArrowRight")
    view.look()
    assert view.page.evaluate("slidePage.maps.lead.place")[0] > before[0] + 10


def test_the_picture_says_what_it_is_and_files_can_be_had(view: SlideView) -> None:
    view.open("first=gene:SPOT")
    view.look()
    view.page.keyboard.press("e")
    with view.page.expect_download() as waiting:
        view.page.get_by_role("button", name="This view as PNG").click()
    picture = Image.open(waiting.value.path()).convert("RGB")
    with view.page.expect_download() as waiting:
        view.page.get_by_role("link", name="tiles.geojson").click()
    features = json.loads(waiting.value.path().read_text())["features"]

    assert waiting.value.suggested_filename == "tiles.geojson"
    assert len(features) > 100
    foot = np.asarray(picture)[-64:]
    assert (foot.min(axis=2) < 100).sum() > 500
    assert picture.width > 600


def test_a_narrow_screen_shows_slide_legend_and_notice_without_scrolling_sideways(
    browser: "Browser", web: Web, planted: PlantedSite
) -> None:
    with SlideView.opened(browser, web.url, planted, (390, 844), has_touch=True, is_mobile=True) as view:
        view.open("first=gene:SPOT")
        assert view.page.evaluate("document.documentElement.scrollWidth") == 390
        for locator in (view.page.locator("header .notice"), view.page.get_by_label("Legend")):
            assert locator.first.is_visible()
        stage = view.page.get_by_label("Slide", exact=True).first.bounding_box()
        assert stage is not None
        assert stage["height"] > 240
        view.page.get_by_role("tab", name="Details").tap()
        view.page.get_by_role("button", name="This view as PNG").scroll_into_view_if_needed()


def test_the_page_asks_nobody_else_and_complains_of_nothing(view: SlideView) -> None:
    nobody = {"login": "none", "subject": "", "role": "admin"}
    view.page.route("**/api/v1/session", lambda route: route.fulfill(json=nobody))
    view.open("first=gene:SPOT")
    view.look()
    for tab in ("Hotspots", "Display", "Details"):
        view.page.get_by_role("tab", name=tab).click()

    assert view.requested
    assert view.outside_requests == []
    assert view.faults == []
    assert view.page.locator("header .notice").first.is_visible()
    assert "DICOM^" not in view.page.content()


def test_a_gene_switch_takes_less_than_200_ms(view: SlideView) -> None:
    view.open("first=gene:SPOT")
    view.look()

    took_ms = view.page.evaluate(
        "async () => { const element = slidePage.maps.lead.element; const times = [];"
        " for (const name of ['gene:RANDOM', 'gene:SPOT', 'distance']) {"
        "   const began = performance.now();"
        "   const done = new Promise((found) => new MutationObserver((_, observer) => {"
        "     if (element.dataset.shown === name) { observer.disconnect(); requestAnimationFrame(() => found()); }"
        "   }).observe(element, { attributes: true }));"
        "   slidePage.state.set({ first: name }); await done; times.push(performance.now() - began); }"
        " return times; }"
    )

    assert np.median(took_ms) < 200
