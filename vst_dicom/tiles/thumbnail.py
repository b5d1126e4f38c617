"""A small picture of the whole slide, made in bounded memory."""

from itertools import chain, product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import GLASS, PixelSource, Thumbnail
from vst_dicom.tiles.frames import THREADS, choose_level, read_run, run_length, work_ahead
from vst_dicom.tiles.memory import frame_memory

THUMBNAIL_UM: Final = 8.0
"""Coarsest pixel of the thumbnail; 8 to 10 µm is usual for a tissue mask."""

_Part = tuple[tuple[slice, slice], NDArray[np.float32]]
"""Which pixels of the thumbnail, and what to add to their sums."""


def read_thumbnail(source: PixelSource, coarsest_um: float = THUMBNAIL_UM, *, threads: int = THREADS) -> Thumbnail:
    """Average the smallest sufficient level down to the thumbnail, frame by frame.

    Each frame is decoded once, at the smallest sufficient scale; memory holds the thumbnail and a few frames,
    however large the slide. A thumbnail pixel is the mean of a whole number of decoded pixels.

    Parameters
    ----------
    source
        The slide.
    coarsest_um
        Upper limit of its pixel spacing; a slide that is coarser comes as it is.
    threads
        Runs of frames read side by side.

    Raises
    ------
    DamagedInstanceError
        If a frame cannot be decoded.
    """
    level, reduce = choose_level(source.levels, PixelSpacing.from_um(coarsest_um))
    block_y = max(1, int(coarsest_um / (level.spacing.row_um * reduce)))
    block_x = max(1, int(coarsest_um / (level.spacing.column_um * reduce)))
    size = MatrixSize(max(1, level.size.n_rows // reduce), max(1, level.size.n_columns // reduce))
    frame = MatrixSize(level.frame_size.n_rows // reduce, level.frame_size.n_columns // reduce)
    total = np.zeros((-(-size.n_rows // block_y), -(-size.n_columns // block_x), 3), dtype=np.float32)

    def add_up(run: tuple[int, range]) -> _Part:
        """Read frames side by side, and add up the pixels of each block that they reach into."""
        frame_row, frame_columns = run
        top, left = frame_row * frame.n_rows, frame_columns.start * frame.n_columns
        rows = min(frame.n_rows, size.n_rows - top)
        columns = min(len(frame_columns) * frame.n_columns, size.n_columns - left)
        strip = np.empty((rows, columns, 3), dtype=np.uint8)
        memory = frame_memory(frame)
        for number, is_there in enumerate(read_run(source, level, frame_row, frame_columns, reduce, memory)):
            part = strip[:, number * frame.n_columns : (number + 1) * frame.n_columns]
            part[...] = memory[number % len(memory), :rows, : part.shape[1]] if is_there else GLASS
        rows_of, row_starts = np.unique((top + np.arange(rows)) // block_y, return_index=True)
        columns_of, column_starts = np.unique((left + np.arange(columns)) // block_x, return_index=True)
        by_row = np.add.reduceat(strip, row_starts, axis=0, dtype=np.float32)
        where = slice(rows_of[0], rows_of[-1] + 1), slice(columns_of[0], columns_of[-1] + 1)
        return where, np.add.reduceat(by_row, column_starts, axis=1)

    grid, length = size.divided_by(frame), run_length(level)
    starts = product(range(grid.n_rows), range(0, grid.n_columns, length))
    runs = ((row, range(start, min(start + length, grid.n_columns))) for row, start in starts)
    for where, sums in chain.from_iterable(work_ahead(add_up, runs, threads)):
        total[where] += sums

    image = np.empty(total.shape, dtype=np.uint8)
    columns_in = np.diff(np.minimum(np.arange(total.shape[1] + 1) * block_x, size.n_columns))[:, None]
    rows_in = np.diff(np.minimum(np.arange(total.shape[0] + 1) * block_y, size.n_rows))
    for averaged, sums, n_rows in zip(image, total, rows_in, strict=True):
        averaged[...] = np.rint(sums / (n_rows * columns_in).astype(np.float32))
    base = source.levels[0].spacing
    spacing = level.spacing.scaled(reduce * block_y, reduce * block_x)
    return Thumbnail(
        image,
        (spacing.column_mm / base.column_mm, spacing.row_mm / base.row_mm),
        spacing,
    )
