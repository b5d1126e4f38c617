"""Results in OHIF's microscopy mode: annotations and the report are drawn where they are."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.viewers.peers import run_viewer
from tests.viewers.places import (
    assert_colored_by_value,
    assert_slide_lies_as_stated,
    at,
    changed,
    edges_on,
    glass_on,
    outlines_on,
    tiles_on,
)
from tests.viewers.planted import PlantedResult
from tests.viewers.screen import Screen, near, open_screen

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OHIF: Final = "[...(window.services?.microscopyService?.managedViewers ?? [])].at(-1)?.viewer"
"""JavaScript expression for the dicom-microscopy-viewer inside OHIF."""
_YELLOW: Final = np.array((255, 234, 0))
"""OHIF draws all annotations in its own color."""
_GREEN: Final = np.array((0, 255, 0))


@pytest.fixture(scope="module")
def page(browser: "Browser", dicomweb_url: str, planted: PlantedResult) -> Iterator[Screen]:
    study = planted.outcome.summary["slide"]["study_instance_uid"]
    with run_viewer("ohif", dicomweb_url) as url, open_screen(browser, OHIF) as screen:
        open_microscopy(screen, url, study)
        yield screen


def open_microscopy(screen: Screen, url: str, study: str) -> None:
    """Open a study in microscopy mode, with the list of its series beside it."""
    screen.open(f"{url}/microscopy?StudyInstanceUIDs={study}")
    screen.page.locator('[data-cy="side-panel-header-left"]').click()
    tidy(screen)


def tidy(screen: Screen) -> None:
    """Show the whole slide, and fold the small picture that hides a corner of it."""
    screen.page.locator(".ol-overviewmap button").first.wait_for()
    screen.ask(
        "document.querySelector('.ol-overviewmap:not(.ol-collapsed) button')?.click();"
        "const map = viewer.getMap(), view = map.getView();"
        "map.updateSize();"
        "view.fit(view.getProjection().getExtent(), { size: map.getSize() });"
    )


def open_series(screen: Screen, description: str) -> None:
    """Open the series of the study whose description begins so by a double click; OHIF makes a new viewer for it."""
    screen.ask("viewer.isOld = true;")
    screen.page.locator('[data-cy^="study-browser-thumbnail"]').filter(has_text=description).first.dblclick()
    screen.page.wait_for_function(
        f"(() => {{ const viewer = {OHIF}; return viewer && !viewer.isOld && viewer.getMap().getTargetElement(); }})()"
    )
    tidy(screen)


@pytest.fixture(scope="module")
def bare(page: Screen) -> NDArray[np.int16]:
    """The slide alone."""
    return page.look()


def test_the_slide_is_where_the_viewer_says(page: Screen, planted: PlantedResult, bare: NDArray[np.int16]) -> None:
    assert_slide_lies_as_stated(page, planted, bare)


def test_annotations_outline_every_tile_and_leave_the_rest_clear(
    page: Screen, planted: PlantedResult, bare: NDArray[np.int16]
) -> None:
    open_series(page, "Tiles by predicted expression")

    picture = page.look()

    every_tile = np.arange(len(planted.outcome.result.grid))
    np.testing.assert_array_less(near(picture, edges_on(page, planted, every_tile), _YELLOW), 60)
    assert not changed(bare, picture, tiles_on(page, planted)).any()
    assert not changed(bare, picture, glass_on(page, planted)).any()


def test_the_report_outlines_the_hotspots_and_lists_them(
    page: Screen, planted: PlantedResult, bare: NDArray[np.int16]
) -> None:
    open_series(page, "Predicted gene expression report")

    picture = page.look()

    np.testing.assert_array_less(near(picture, outlines_on(page, planted), _GREEN), 60)
    assert not changed(bare, picture, glass_on(page, planted)).any()
    listed_um2 = [float(number) for number in re.findall(r"([\d.]+) .m²", page.page.locator("body").inner_text())]
    for hotspot in planted.outcome.result.hotspots:
        assert any(area_um2 == pytest.approx(hotspot.area_mm2 * 1e6, rel=1e-5) for area_um2 in listed_um2)


def test_the_colored_slide_has_the_color_of_its_value_in_each_tile_and_clear_glass(
    page: Screen, planted: PlantedResult, bare: NDArray[np.int16]
) -> None:
    open_series(page, "Predicted RANDOM as colors")

    picture = page.look()

    assert_colored_by_value(page, planted, picture, column=0)
    glass = glass_on(page, planted)
    assert np.median(np.abs(at(picture, glass) - at(bare, glass)).max(axis=1)) < 8


def test_the_page_asks_nobody_but_this_machine_and_says_what_it_is_for(page: Screen, bare: Any) -> None:
    assert page.requested
    assert page.outside_requests == []
    assert not [line for line in page.console if line.startswith("page error")]
    assert page.page.get_by_text("For Research Use Only. Not for use in diagnostic procedures.").is_visible()
