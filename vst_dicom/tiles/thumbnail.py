"""A small picture of the whole slide, made in bounded memory."""

from itertools import groupby, product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.pixels import GLASS, PixelSource, RgbImage, Thumbnail
from vst_dicom.tiles.frames import choose_level, read_frames

THUMBNAIL_UM: Final = 8.0
"""Coarsest pixel of the thumbnail; 8 to 10 µm is usual for a tissue mask."""


def read_thumbnail(source: PixelSource, coarsest_um: float = THUMBNAIL_UM) -> Thumbnail:
    """Average the smallest sufficient level down to the thumbnail, frame by frame.

    Each frame is decoded once, at the smallest sufficient scale; memory holds the thumbnail, a row of its blocks and
    a few frames, however large the slide. A thumbnail pixel is the mean of a whole number of decoded pixels.

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
    image = np.empty((-(-height // block_y), -(-width // block_x), 3), dtype=np.uint8)
    columns_in_block = np.minimum(block_x, width - block_x * np.arange(image.shape[1]))[:, None]

    positions = list(product(range(level.frame_grid.n_rows), range(level.frame_grid.n_columns)))
    frames = read_frames(source, level, positions, reduce)
    begun = np.zeros(image.shape[1:], dtype=np.float32)
    for frame_row, in_row in groupby(frames, key=lambda frame: frame[0][0]):
        top, bottom = frame_row * frame_height, min((frame_row + 1) * frame_height, height)
        if top >= bottom:
            continue
        first, last = top // block_y, (bottom - 1) // block_y
        sums = np.zeros((last - first + 1, *image.shape[1:]), dtype=np.float32)
        sums[0] = begun
        for (_, frame_column), frame in in_row:
            left, right = frame_column * frame_width, min((frame_column + 1) * frame_width, width)
            _add_blocks(sums, frame, (top, bottom, block_y), (left, right, block_x))
        n_whole = len(sums) if bottom == height or bottom % block_y == 0 else len(sums) - 1
        begun = sums[n_whole] if n_whole < len(sums) else np.zeros_like(begun)
        rows_in_block = np.minimum(block_y, height - block_y * np.arange(first, first + n_whole))[:, None, None]
        image[first : first + n_whole] = np.rint(sums[:n_whole] / (rows_in_block * columns_in_block))

    base = source.levels[0].spacing
    spacing = level.spacing.scaled(reduce * block_y, reduce * block_x)
    return Thumbnail(image, (spacing.column_mm / base.column_mm, spacing.row_mm / base.row_mm), spacing)


def _add_blocks(
    sums: NDArray[np.float32], frame: RgbImage | None, rows: tuple[int, int, int], columns: tuple[int, int, int]
) -> None:
    """Add the pixels of a frame to the blocks of its row of frames.

    Parameters
    ----------
    sums
        Shape ``(n_block_rows, n_block_columns, 3)``; the first row is the block in which the frame begins.
    frame
        Pixels; None where the slide shows glass.
    rows, columns
        First pixel of the frame on the level, one past the last that counts, and pixels per block.
    """
    top, bottom, block_y = rows
    left, right, block_x = columns
    if left >= right:
        return
    height, width = bottom - top, right - left
    pixels = np.full((height, width, 3), GLASS, np.uint8) if frame is None else frame[:height, :width]
    row_blocks, row_starts = np.unique(np.arange(top, bottom) // block_y, return_index=True)
    column_blocks, column_starts = np.unique(np.arange(left, right) // block_x, return_index=True)
    down = np.add.reduceat(pixels.astype(np.float32), row_starts, axis=0)
    where = row_blocks - row_blocks[0], slice(column_blocks[0], column_blocks[-1] + 1)
    sums[where] += np.add.reduceat(down, column_starts, axis=1)
