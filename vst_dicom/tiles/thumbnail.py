"""A small picture of the whole slide, made in bounded memory."""

from itertools import product
from typing import Final

import numpy as np

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.pixels import GLASS, PixelSource, Thumbnail
from vst_dicom.tiles.frames import choose_level, read_frames

THUMBNAIL_UM: Final = 8.0
"""Coarsest pixel of the thumbnail; 8 to 10 µm is usual for a tissue mask."""


def read_thumbnail(source: PixelSource, coarsest_um: float = THUMBNAIL_UM) -> Thumbnail:
    """Average the smallest sufficient level down to the thumbnail, frame by frame.

    Each frame is decoded once, at the smallest sufficient scale; memory holds the thumbnail and a few frames,
    however large the slide. A thumbnail pixel is the mean of a whole number of decoded pixels.

    Parameters
    ----------
    source
        The slide.
    coarsest_um
        Upper limit of its pixel spacing; a slide that is coarser comes as it is.

    Raises
    ------
    DamagedInstanceError
        If a frame cannot be decoded.
    """
    level, reduce = choose_level(source.levels, PixelSpacing.from_um(coarsest_um))
    block_y = max(1, int(coarsest_um / (level.spacing.row_um * reduce)))
    block_x = max(1, int(coarsest_um / (level.spacing.column_um * reduce)))
    height, width = max(1, level.size.n_rows // reduce), max(1, level.size.n_columns // reduce)
    frame_height, frame_width = level.frame_size.n_rows // reduce, level.frame_size.n_columns // reduce
    total = np.zeros((-(-height // block_y), -(-width // block_x), 3), dtype=np.float32)
    count = np.zeros((*total.shape[:2], 1), dtype=np.float32)

    grid = level.frame_grid
    positions = list(product(range(grid.n_rows), range(grid.n_columns)))
    for (row, column), frame in read_frames(source, level, positions, reduce):
        top, left = row * frame_height, column * frame_width
        rows, columns = min(frame_height, height - top), min(frame_width, width - left)
        pixels = (
            np.full((rows, columns, 3), GLASS, dtype=np.float32)
            if frame is None
            else frame[:rows, :columns].astype(np.float32)
        )
        block_rows, row_starts = np.unique((top + np.arange(rows)) // block_y, return_index=True)
        block_columns, column_starts = np.unique((left + np.arange(columns)) // block_x, return_index=True)
        sums = np.add.reduceat(np.add.reduceat(pixels, row_starts, axis=0), column_starts, axis=1)
        sizes = np.outer(np.diff([*row_starts, rows]), np.diff([*column_starts, columns]))
        where = np.s_[block_rows[0] : block_rows[-1] + 1, block_columns[0] : block_columns[-1] + 1]
        total[where] += sums
        count[where] += sizes[..., None]

    base = source.levels[0].spacing
    spacing = level.spacing.scaled(reduce * block_y, reduce * block_x)
    return Thumbnail(
        np.rint(total / count).astype(np.uint8),
        (spacing.column_mm / base.column_mm, spacing.row_mm / base.row_mm),
        spacing,
    )
