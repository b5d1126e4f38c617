"""Results in dicom-microscopy-viewer, the engine of Slim: the right colors over the right tissue, and clear glass."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pydicom
import pytest
import requests
from numpy.typing import NDArray

from tests.viewers.peers import run_viewer
from tests.viewers.places import assert_slide_lies_as_stated, at, changed, edges_on, glass_on, outlines_on, tiles_on
from tests.viewers.planted import PlantedResult, to_slide_mm
from tests.viewers.screen import Screen, near, off_by, open_screen
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode import colors
from vst_dicom.encode.annotations import quintiles
from vst_dicom.encode.gene_segmentation import scale_for_display

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RANDOM, SPOT = 0, 1
_CLOSE: Final = 0.06
"""Share of a map's range that a color may be off. A map that lies a tenth of a tile off is off by more somewhere."""


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


def switch_on(screen: Screen, modality: str, label: str | re.Pattern[str]) -> None:
    """Tick a layer by its label, and fold the legend, which hides a part of the slide."""
    layers = screen.page.locator(f'section[data-modality="{modality}"]')
    layers.get_by_label(label, exact=True).check()
    legend = screen.page.get_by_label("Collapse legend")
    if legend.is_visible():
        legend.click()


def set_opacity(screen: Screen, opacity: float) -> None:
    """Set how much maps and segments cover the slide."""
    screen.page.locator("#opacity").fill(str(opacity))


@dataclass(frozen=True)
class Map:
    """A channel of a Parametric Map, and the value of each tile.

    Parameters
    ----------
    label
        As the viewer lists it.
    values_of
        Tells the values, in the order of the tiles.
    """

    label: str
    values_of: Callable[[SlideResult], NDArray[np.float32] | None]


MAPS: Final = (
    Map("RANDOM", lambda result: result.expression.values[:, RANDOM]),
    Map("SPOT", lambda result: result.expression.values[:, SPOT]),
    Map("RANDOM +/-", lambda result: None if result.half_width is None else result.half_width[:, RANDOM]),
    Map("distance", lambda result: result.distance),
)


@pytest.mark.parametrize("shown", MAPS, ids=lambda shown: shown.label)
def test_a_map_has_the_color_of_its_value_in_each_tile_and_changes_halfway_to_the_next(
    screen: Screen, planted: PlantedResult, shown: Map
) -> None:
    set_opacity(screen, 1)
    switch_on(screen, "OT", shown.label)

    picture = screen.look()

    result = planted.outcome.result
    values = shown.values_of(result)
    assert values is not None
    palette = np.array(
        screen.ask(
            "const map = viewer.getAllParameterMappings().find((mapping) => mapping.label === given);"
            "return Array.from(viewer.getParameterMappingStyle(map.uid).paletteColorLookupTable.data);",
            shown.label,
        )
    )[:, :3]
    share = (values - values.min()) / np.ptp(values)
    np.testing.assert_array_less(off_by(picture, tiles_on(screen, planted), palette, share), _CLOSE)

    tile_at = np.full((result.grid.size.n_rows, result.grid.size.n_columns), -1)
    tile_at[tuple(result.grid.cells.T)] = np.arange(len(result.grid))
    for left, right in ((tile_at[:, :-1], tile_at[:, 1:]), (tile_at[:-1], tile_at[1:])):
        both = (left >= 0) & (right >= 0)
        first, second = left[both], right[both]
        between = (result.grid.centers_px[first] + result.grid.centers_px[second]) / 2
        border = screen.find(to_slide_mm(planted, between))
        halfway = (share[first] + share[second]) / 2
        np.testing.assert_array_less(off_by(picture, border, palette, halfway), _CLOSE)


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
    switch_on(screen, "SEG", area.label)

    picture = screen.look()

    np.testing.assert_array_equal(changed(bare, picture, tiles_on(screen, planted)), area.covers(planted))
    assert not changed(bare, picture, glass_on(screen, planted)).any()


def test_a_fractional_segment_has_the_color_of_its_value_all_over_each_tile_and_clear_glass(
    screen: Screen, planted: PlantedResult, bare: NDArray[np.int16]
) -> None:
    opacity = 0.5
    set_opacity(screen, opacity)
    switch_on(screen, "SEG", "Predicted RANDOM expression")

    picture = screen.look()

    result = planted.outcome.result
    palette = np.array(
        screen.ask(
            "const segment = viewer.getAllSegments().find((segment) => segment.label === given);"
            "return Array.from(viewer.getSegmentStyle(segment.uid).paletteColorLookupTable.data);",
            "Predicted RANDOM expression",
        )
    )[:, :3]
    stored = scale_for_display(result, [RANDOM])[0][tuple(result.grid.cells.T)]
    reach = 0.4 * result.grid.tile_size.n_rows
    for shift in ((0, 0), (-reach, -reach), (reach, -reach), (-reach, reach), (reach, reach)):
        places = screen.find(to_slide_mm(planted, result.grid.centers_px + shift))
        expected = (1 - opacity) * at(bare, places) + opacity * palette[stored]
        np.testing.assert_array_less(np.abs(at(picture, places) - expected).max(axis=1), 12)
    assert not changed(bare, picture, glass_on(screen, planted)).any()


@pytest.mark.parametrize("fifth", [1, 5])
def test_rectangles_outline_the_tiles_of_their_fifth_in_its_color(
    screen: Screen, planted: PlantedResult, bare: NDArray[np.int16], fifth: int
) -> None:
    switch_on(screen, "ANN", re.compile(f"RANDOM quintile {fifth}"))

    picture = screen.look()

    result = planted.outcome.result
    tiles = quintiles(result.expression.values[:, RANDOM])[fifth - 1]
    color = np.array(colors.QUINTILES[fifth - 1])
    np.testing.assert_array_less(near(picture, edges_on(screen, planted, tiles), color), 40)
    assert not changed(bare, picture, tiles_on(screen, planted)).any()
    assert not changed(bare, picture, glass_on(screen, planted)).any()


def test_a_hotspot_is_outlined_where_it_is(screen: Screen, planted: PlantedResult, bare: NDArray[np.int16]) -> None:
    switch_on(screen, "ANN", "High predicted SPOT expression")

    picture = screen.look()

    np.testing.assert_array_less(near(picture, outlines_on(screen, planted), np.array(colors.HOTSPOTS[0])), 40)
    assert not changed(bare, picture, tiles_on(screen, planted)).any()
    assert not changed(bare, picture, glass_on(screen, planted)).any()


def test_the_slide_is_where_the_viewer_says(screen: Screen, planted: PlantedResult, bare: NDArray[np.int16]) -> None:
    assert_slide_lies_as_stated(screen, planted, bare)


def test_metadata_lead_to_all_coordinates_of_annotations(dicomweb_url: str, planted: PlantedResult) -> None:
    (file,) = [file for file in planted.objects if file.name == "annotations.dcm"]
    stored = pydicom.dcmread(file)
    series = f"{dicomweb_url}/studies/{stored.StudyInstanceUID}/series/{stored.SeriesInstanceUID}"

    (metadata,) = requests.get(f"{series}/metadata", headers={"Accept": "application/dicom+json"}, timeout=10).json()

    groups = metadata["006A0002"]["Value"]
    assert len(groups) == len(stored.AnnotationGroupSequence)
    for group, stored_group in zip(groups, stored.AnnotationGroupSequence, strict=True):
        assert set(group["00660022"]) == {"vr", "BulkDataURI"}
        bulk = requests.get(
            group["00660022"]["BulkDataURI"],
            headers={"Accept": 'multipart/related; type="application/octet-stream"'},
            timeout=10,
        )
        assert stored_group.DoublePointCoordinatesData in bulk.content


def test_the_colored_slide_is_a_second_slide(screen: Screen, planted: PlantedResult) -> None:
    choice = screen.page.locator("#slides option")

    assert choice.all_inner_texts() == ["Slide, series 1", "Predicted RANDOM as colors, Research Use Only"]


def test_the_page_asks_nobody_but_this_machine_and_says_what_it_is_for(page: Screen, bare: Any) -> None:
    assert page.requested
    assert page.outside_requests == []
    assert not [line for line in page.console if line.startswith(("error", "page error", "failed"))]
    assert page.page.get_by_text("For Research Use Only. Not for use in diagnostic procedures.").is_visible()
