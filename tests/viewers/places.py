"""Places of the planted result on a screen, and what became of them."""

from typing import Final

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from tests.viewers.planted import PlantedResult, cells_without_tile, to_slide_mm
from tests.viewers.screen import Screen

_SAME: Final = 3
"""Largest difference of a band between pixels that show the same."""


def tiles_on(screen: Screen, planted: PlantedResult) -> NDArray[np.int64]:
    """Row and column on the screen of the middle of each tile, shape ``(n_tiles, 2)``."""
    return screen.find(to_slide_mm(planted, planted.outcome.result.grid.centers_px))


def glass_on(screen: Screen, planted: PlantedResult) -> NDArray[np.int64]:
    """Row and column on the screen of the middle of each cell without a tile, shape ``(n, 2)``."""
    return screen.find(to_slide_mm(planted, cells_without_tile(planted.outcome.result.grid)))


def edges_on(screen: Screen, planted: PlantedResult, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row and column on the screen of the middle of each side of some tiles, shape ``(4 × n, 2)``."""
    grid = planted.outcome.result.grid
    half = grid.tile_size.n_rows / 2
    sides = [grid.centers_px[tiles] + side for side in ((0, -half), (0, half), (-half, 0), (half, 0))]
    return screen.find(to_slide_mm(planted, np.concatenate(sides)))


def outlines_on(screen: Screen, planted: PlantedResult) -> NDArray[np.int64]:
    """Row and column on the screen of the middle of each side of the outlines of all hotspots, shape ``(n, 2)``."""
    rings = [hotspot.outlines_px[0] for hotspot in planted.outcome.result.hotspots]
    middles = np.concatenate([(ring + np.roll(ring, -1, axis=0)) / 2 for ring in rings])
    return screen.find(to_slide_mm(planted, middles - 0.5))


def at(picture: NDArray[np.int16], places: NDArray[np.int64]) -> NDArray[np.int16]:
    """Colors of places, shape ``(n, 3)``."""
    return picture[places[:, 0], places[:, 1]]


def changed(before: NDArray[np.int16], after: NDArray[np.int16], places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether another color is at a place than was before, shape ``(n,)``."""
    return np.asarray(np.abs(at(after, places) - at(before, places)).max(axis=1) > _SAME)


def assert_slide_lies_as_stated(screen: Screen, planted: PlantedResult, bare: NDArray[np.int16]) -> None:
    """Tissue is where the tiles are, glass where they are not."""
    tissue = at(bare, tiles_on(screen, planted)).astype(float)
    glass = at(bare, glass_on(screen, planted)).astype(float)
    assert np.median(tissue.min(axis=1)) < 200
    assert np.median(glass.min(axis=1)) > 235


def assert_colored_by_value(screen: Screen, planted: PlantedResult, picture: NDArray[np.int16], column: int) -> None:
    """Tiles have the hue of viridis at their value, over gray; all else is the slide.

    Differences between bands are compared, in which gray tissue plays no part.
    """
    result = planted.outcome.result
    values = result.expression.values[:, column]
    share = (values - values.min()) / np.ptp(values)
    wanted = 0.6 * 255 * colormaps["viridis"](share)[:, :3]
    places = tiles_on(screen, planted)
    steps = range(-4, 5)
    seen = np.mean([at(picture, places + (row, column)) for row in steps for column in steps], axis=0)
    np.testing.assert_array_less(np.abs(np.diff(seen, axis=1) - np.diff(wanted, axis=1)).max(axis=1), 20)
