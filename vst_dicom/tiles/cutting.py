"""Plan which pixels of which frame belong to which tile, one row of frames at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import MatrixSize

_TILES_AT_ONCE: Final = 2048
"""Tiles that are planned together at least: planning takes some megabytes, whatever the slide."""

_NOWHERE: Final = np.iinfo(np.int64).max
"""Sorts tiles that touch no frame behind all others."""

N_SAMPLES: Final = 3
"""Red, green and blue of a pixel lie side by side: rectangles are given in samples along x."""


@dataclass(slots=True)
class Run:
    """Frames of one row that one thread decodes at a stretch, and where their pixels go.

    Parameters
    ----------
    frame_row, frame_columns
        Which frames.
    first
        First rectangle of each frame, and behind them the number of rectangles.
    rectangles
        Shape ``(n, 9)``: position of the tile in the order of the plan; in the tile the first row and one past the
        last, the first sample and one past the last; the same four in the frame.
    n_completed
        How many tiles have all their pixels with this run, and had not before.
    """

    frame_row: int
    frame_columns: list[int]
    first: list[int]
    rectangles: NDArray[np.int64]
    n_completed: int


class CuttingPlan:
    """The order in which tiles become complete while frames come row by row, and what to copy on the way.

    Every frame that a tile touches comes once. Tiles are ordered by the run that completes them, so that few are
    begun at any time: at most those that reach from one row of frames into the next.

    Parameters
    ----------
    corners
        x, y of the top left pixel of each tile in decoded pixels, shape ``(n_tiles, 2)``.
    crop
        Rows and columns of a tile, decoded pixels.
    frame
        Rows and columns of a decoded frame.
    limit
        Rows and columns of the level, decoded pixels; nothing beyond is copied.
    run_length
        Frames side by side that make a run.
    """

    def __init__(
        self, corners: NDArray[np.int64], crop: MatrixSize, frame: MatrixSize, limit: MatrixSize, run_length: int
    ) -> None:
        self._crop, self._frame, self._limit, self._run_length = crop, frame, limit, run_length
        x, y = corners.T
        left, right = self._clip(x, crop.n_columns, limit.n_columns)
        top, bottom = self._clip(y, crop.n_rows, limit.n_rows)
        covered = (left < right) & (top < bottom)
        last_row = (bottom - 1) // frame.n_rows
        self._n_runs_across = -(-limit.n_columns // (frame.n_columns * run_length))
        completing = last_row * self._n_runs_across + (right - 1) // (frame.n_columns * run_length)
        completing[~covered] = _NOWHERE
        self.order: NDArray[np.int64] = np.lexsort((x, top // frame.n_rows, completing))
        """Which tile stands at each position of the plan, shape ``(n_tiles,)``."""
        whole = (right - left == crop.n_columns) & (bottom - top == crop.n_rows)
        self.reaches_out: NDArray[np.bool_] = ~whole[self.order]
        """Whether a tile has pixels beyond the level, by position, shape ``(n_tiles,)``."""
        among = self.order[: int(covered.sum())]
        self._x, self._y = x[among], y[among]
        self._completing, self._last_row = completing[among], last_row[among]
        self._rows_per_tile = int((last_row[among] - top[among] // frame.n_rows).max(initial=0))

    def runs(self) -> Iterator[Run]:
        """All runs, from the top left to the bottom right."""
        begin, n_done = 0, 0
        while (low := int(np.searchsorted(self._last_row, begin))) < len(self._last_row):
            end = int(self._last_row[min(low + _TILES_AT_ONCE, len(self._last_row)) - 1]) + 1
            high = int(np.searchsorted(self._last_row, end + self._rows_per_tile))
            positions = np.arange(low, high)[np.maximum(self._y[low:high], 0) < end * self._frame.n_rows]
            for run in self._cut_rows(positions, begin, end):
                run.n_completed, n_done = run.n_completed - n_done, run.n_completed
                yield run
            begin = end

    def _cut_rows(self, positions: NDArray[np.int64], begin: int, end: int) -> Iterator[Run]:
        """Cut the rows of frames from `begin` to before `end`, which the tiles at these positions touch."""
        height, width = self._frame.n_rows, self._frame.n_columns
        x, y = self._x[positions], self._y[positions]
        left, right = self._clip(x, self._crop.n_columns, self._limit.n_columns)
        top, bottom = self._clip(y, self._crop.n_rows, self._limit.n_rows)
        first_row = np.maximum(top // height, begin)
        first_column = left // width
        n_rows = np.minimum((bottom - 1) // height + 1, end) - first_row
        n_columns = (right - 1) // width + 1 - first_column

        n_pairs = n_rows * n_columns
        tile = np.repeat(np.arange(len(positions)), n_pairs)
        down, across = np.divmod(
            np.arange(len(tile)) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs), n_columns[tile]
        )
        row, column = first_row[tile] + down, first_column[tile] + across
        by_frame = np.lexsort((column, row))
        tile, row, column = tile[by_frame], row[by_frame], column[by_frame]

        frame_y, frame_x = row * height, column * width
        y0, y1 = np.maximum(top[tile], frame_y), np.minimum(bottom[tile], frame_y + height)
        x0, x1 = np.maximum(left[tile], frame_x), np.minimum(right[tile], frame_x + width)
        in_tile = y0 - y[tile], y1 - y[tile], N_SAMPLES * (x0 - x[tile]), N_SAMPLES * (x1 - x[tile])
        in_frame = y0 - frame_y, y1 - frame_y, N_SAMPLES * (x0 - frame_x), N_SAMPLES * (x1 - frame_x)
        rectangles = np.stack([positions[tile], *in_tile, *in_frame], axis=1)

        frames = np.flatnonzero((np.diff(row, prepend=-1) != 0) | (np.diff(column, prepend=-1) != 0))
        number = row[frames] * self._n_runs_across + column[frames] // self._run_length
        runs = np.flatnonzero(np.diff(number, prepend=-1))
        n_completed = np.searchsorted(self._completing, number[runs], side="right").tolist()
        first = [*frames.tolist(), len(tile)]
        for start, stop, n_done in zip(runs.tolist(), [*runs[1:].tolist(), len(frames)], n_completed, strict=True):
            yield Run(
                int(row[first[start]]),
                column[frames[start:stop]].tolist(),
                [one - first[start] for one in first[start : stop + 1]],
                rectangles[first[start] : first[stop]],
                n_done,
            )

    @staticmethod
    def _clip(start: NDArray[np.int64], length: int, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.maximum(start, 0), np.minimum(start + length, limit)
