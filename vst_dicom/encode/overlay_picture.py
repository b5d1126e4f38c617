"""The slide in gray with the predicted expression of one gene painted over it."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.dicom.frames import halve
from vst_dicom.domain.pixels import RgbImage, Thumbnail
from vst_dicom.domain.result import SlideResult

COLORS: Final = "viridis"
"""Even in lightness and safe for color-blind eyes; dark is the least value, bright the greatest."""

_OPACITY: Final = 0.6
"""Of the color; the rest is the slide in gray, so that its structure shows and no stain changes the color."""


def paint_gene(result: SlideResult, column: int, picture: Thumbnail) -> RgbImage:
    """Paint the tiles of the slide by value; all else stays as it is: glass, and tissue without a value.

    A tile is painted whole and in one color, so that the picture never shows detail that the model did not predict.

    Parameters
    ----------
    result
        The predictions.
    column
        Of the gene in the expression table.
    picture
        The slide.

    Returns
    -------
    RgbImage
        As large as the picture.
    """
    colors, painted = _color_cells(result, column)
    image = picture.image.copy()
    tile = result.grid.tile_size
    rows = _cells_of_pixels(image.shape[0], picture.base_px[1], tile.n_rows, result.grid.size.n_rows)
    columns = _cells_of_pixels(image.shape[1], picture.base_px[0], tile.n_columns, result.grid.size.n_columns)
    for row in np.flatnonzero(painted.any(axis=1)):
        first, last = np.searchsorted(rows, [row, row + 1])
        strip = image[first:last]
        if strip.size:
            gray = cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY)[..., None]
            blended = np.rint((1 - _OPACITY) * gray + _OPACITY * colors[row, columns]).astype(np.uint8)
            np.copyto(strip, blended, where=painted[row, columns][:, None])
    return image


def make_levels(image: RgbImage, largest_frame_px: int, most: int) -> list[RgbImage]:
    """Halve an image until one frame holds it, or there are `most` levels; the first is the image itself."""
    levels = [image]
    while len(levels) < count_levels(image, largest_frame_px, most):
        levels.append(halve(levels[-1]))
    return levels


def count_levels(image: RgbImage, largest_frame_px: int, most: int) -> int:
    """How many levels `make_levels` makes."""
    n_levels, longest = 1, max(image.shape[:2])
    while longest > largest_frame_px and n_levels < most:
        n_levels, longest = n_levels + 1, -(-longest // 2)
    return n_levels


def _color_cells(result: SlideResult, column: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Color of each cell of the grid, shape ``(n_rows, n_columns, 3)``, 0 to 255, and whether it has a value."""
    from matplotlib import colormaps

    values = result.expression.values[:, column].astype(np.float64)
    least, most = values.min(), values.max()
    scaled = (values - least) / (most - least) if most > least else np.full(len(values), 0.5)
    table = colormaps[COLORS](scaled)[:, :3].astype(np.float32) * 255
    return result.grid.place(table, fill=0).transpose(1, 2, 0), result.grid.mask


def _cells_of_pixels(n_px: int, base_px: float, tile_px: int, n_cells: int) -> NDArray[np.int64]:
    """Cell that holds the middle of each pixel, along one side, shape ``(n_px,)``."""
    middles = (np.arange(n_px) + 0.5) * base_px
    cells: NDArray[np.int64] = np.minimum(middles // tile_px, n_cells - 1).astype(np.int64)
    return cells
