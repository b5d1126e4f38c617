"""Results in dicom-microscopy-viewer, the engine of Slim: the right colors over the right tissue, and clear glass."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.viewers.peers import run_viewer
from tests.viewers.planted import PlantedResult, cells_without_tile, to_slide_mm
from tests.viewers.screen import Screen, near, open_screen
from vst_dicom.encode import colors
from vst_dicom.encode.annotations import quintiles

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RANDOM, SPOT = 0, 1
_SAME: Final = 3
"""Largest difference of a band between pixels that show the same."""


@pytest.fixture(scope="module")
def page(browser: "Browser", dicomweb_url: str, planted: PlantedResult) -> Iterator[Screen]:
    study = planted.outcome.summary["slide"]["study_instance_uid"]
    with run_viewer("dicom-microscopy-viewer", dicomweb_url) as url, open_screen(browser, "window.slide") as screen:
        screen.open(f"{url}/?study={study}")
        screen.page.get_by_text("Ready").wait_for(timeout=60_000)
        yield screen


@pytest.fixture
def screen(page: Screen) -> Iterator[Screen]:
    """The page without any layer over the slide."""
    yield page
    for box in page.page.locator("#layers input:checked").all():
        box.uncheck()


@pytest.fixture(scope="module")
def bare(page: Screen) -> NDArray[np.int16]:
    """The slide alone."""
    return page.look()


def switch_on(screen: Screen, label: str) -> None:
    """Tick a layer by its label."""
    screen.page.get_by_label(label, exact=True).check()


def tiles_on(screen: Screen, planted: PlantedResult) -> NDArray[np.int64]:
    """Row and column on the screen of the middle of each tile."""
    return screen.find(to_slide_mm(planted, planted.outcome.result.grid.centers_px))


def glass_on(screen: Screen, planted: PlantedResult) -> NDArray[np.int64]:
    """Row and column on the screen of the middle of each cell without a tile."""
    return screen.find(to_slide_mm(planted, cells_without_tile(planted.outcome.result.grid)))


def at(picture: NDArray[np.int16], places: NDArray[np.int64]) -> NDArray[np.int16]:
    return picture[places[:, 0], places[:, 1]]


def changed(before: NDArray[np.int16], after: NDArray[np.int16], places: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.abs(at(after, places) - at(before, places)).max(axis=1) > _SAME


@pytest.mark.parametrize(("gene", "column"), [("RANDOM", RANDOM), ("SPOT", SPOT)])
def test_a_gene_map_has_the_color_of_its_value_in_each_tile_and_changes_halfway_to_the_next(
    screen: Screen, planted: PlantedResult, gene: str, column: int
) -> None:
    screen.page.locator("#opacity").fill("1")
    switch_on(screen, gene)

    picture = screen.look()

    result = planted.outcome.result
    values = result.expression.values[:, column]
    palette = np.array(
        screen.ask(
            "const map = viewer.getAllParameterMappings().find((mapping) => mapping.label === given);"
            "return Array.from(viewer.getParameterMappingStyle(map.uid).paletteColorLookupTable.data);",
            gene,
        )
    )[:, :3]
    share = (values - values.min()) / np.ptp(values)
    middle = near(picture, tiles_on(screen, planted), in_palette(palette, share), reach=1)
    np.testing.assert_array_less(middle, 24)
    assert np.median(middle) <= 2

    tile_at = np.full((result.grid.size.n_rows, result.grid.size.n_columns), -1)
    tile_at[tuple(result.grid.cells.T)] = np.arange(len(result.grid))
    for left, right in ((tile_at[:, :-1], tile_at[:, 1:]), (tile_at[:-1], tile_at[1:])):
        both = (left >= 0) & (right >= 0)
        first, second = left[both], right[both]
        between = (result.grid.centers_px[first] + result.grid.centers_px[second]) / 2
        border = screen.find(to_slide_mm(planted, between))
        halfway = in_palette(palette, (share[first] + share[second]) / 2)
        np.testing.assert_array_less(near(picture, border, halfway, reach=1), 24)


def in_palette(palette: NDArray[np.float64], share: NDArray[np.floating]) -> NDArray[np.float64]:
    """Colors of values that are given as shares of the range of a map."""
    return palette[np.rint(share * (len(palette) - 1)).astype(int)]


@dataclass(frozen=True)
class Area:
    """A segment, and which tiles it covers.

    Parameters
    ----------
    label
        As the viewer lists it.
    covers
        Tells for each tile whether it belongs to the segment.
    """

    label: str
    covers: Callable[[PlantedResult], NDArray[np.bool_]]


def hot_tiles(planted: PlantedResult) -> NDArray[np.bool_]:
    result = planted.outcome.result
    tiles = np.concatenate([hotspot.tiles for hotspot in result.hotspots])
    return np.isin(np.arange(len(result.grid)), tiles)


AREAS: Final = (
    Area("Tissue", lambda planted: np.ones(len(planted.outcome.result.grid), dtype=np.bool_)),
    Area("High predicted SPOT expression", hot_tiles),
)


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.label)
def test_a_segment_covers_its_tiles_and_nothing_else(
    screen: Screen, planted: PlantedResult, bare: NDArray[np.int16], area: Area
) -> None:
    screen.page.locator("#layers").get_by_label(area.label, exact=True).first.check()

    picture = screen.look()

    np.testing.assert_array_equal(changed(bare, picture, tiles_on(screen, planted)), area.covers(planted))
    assert not changed(bare, picture, glass_on(screen, planted)).any()


@pytest.mark.parametrize("fifth", [1, 5])
def test_rectangles_outline_the_tiles_of_their_fifth_in_its_color(
    screen: Screen, planted: PlantedResult, bare: NDArray[np.int16], fifth: int
) -> None:
    screen.page.get_by_label(f"RANDOM quintile {fifth}").check()

    picture = screen.look()

    result = planted.outcome.result
    tiles = quintiles(result.expression.values[:, RANDOM])[fifth - 1]
    color = np.array(colors.QUINTILES[fifth - 1])
    half = result.grid.tile_size.n_rows / 2
    for side in ((0, -half), (0, half), (-half, 0), (half, 0)):
        edges = screen.find(to_slide_mm(planted, result.grid.centers_px[tiles] + side))
        np.testing.assert_array_less(near(picture, edges, color), 40)
    assert not changed(bare, picture, tiles_on(screen, planted)).any()
    assert not changed(bare, picture, glass_on(screen, planted)).any()


def test_a_hotspot_is_outlined_where_it_is(screen: Screen, planted: PlantedResult, bare: NDArray[np.int16]) -> None:
    screen.page.locator(".layer:has(.swatch)").get_by_text("High predicted SPOT expression").click()

    picture = screen.look()

    places = screen.find(to_slide_mm(planted, outline_points(planted)))
    np.testing.assert_array_less(near(picture, places, np.array(colors.HOTSPOTS[0])), 40)
    assert not changed(bare, picture, tiles_on(screen, planted)).any()
    assert not changed(bare, picture, glass_on(screen, planted)).any()


def outline_points(planted: PlantedResult) -> NDArray[np.float64]:
    """Middles of the sides of the outer outlines of all hotspots, base level, pixel centers at whole numbers."""
    rings = [hotspot.outlines_px[0] for hotspot in planted.outcome.result.hotspots]
    return np.concatenate([(ring + np.roll(ring, -1, axis=0)) / 2 for ring in rings]) - 0.5


def test_the_slide_is_where_the_viewer_says(screen: Screen, planted: PlantedResult, bare: NDArray[np.int16]) -> None:
    tissue = at(bare, tiles_on(screen, planted)).astype(float)
    glass = at(bare, glass_on(screen, planted)).astype(float)

    assert np.median(tissue.min(axis=1)) < 200
    assert np.median(glass.min(axis=1)) > 235


def test_the_page_asks_nobody_but_this_machine_and_says_what_it_is_for(page: Screen, bare: Any) -> None:
    assert page.requested
    assert page.outside_requests == []
    assert not [line for line in page.console if line.startswith(("error", "page error", "failed"))]
    assert page.page.get_by_text("For Research Use Only. Not for use in diagnostic procedures.").is_visible()
