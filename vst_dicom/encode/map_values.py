"""What the pixels of Parametric Maps hold: values, scaled to whole numbers or as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.tiles import TileGrid

FIRST, LAST = 1, 65535
"""Whole numbers that carry a real world value."""

BACKGROUND: Final = 0
"""Whole number of pixels without one."""

_VALUES_AT_ONCE: Final = 1 << 16
"""Values that are scaled and brought into the order of the maps together: what a processor keeps close."""


@dataclass(frozen=True, eq=False)
class ValueRange:
    """Least and greatest value of each channel, in double precision, both of shape ``(n_channels,)``."""

    least: NDArray[np.float64]
    greatest: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "ValueRange":
        """Find the range of each column, shape ``(n_tiles, n_channels)``; 0 to 0 where there is none but NaN."""
        least, greatest = (each.reduce(values, axis=0, initial=np.nan) for each in (np.fmin, np.fmax))
        return cls(np.nan_to_num(least.astype(np.float64)), np.nan_to_num(greatest.astype(np.float64)))


@dataclass(frozen=True, eq=False)
class LinearMapping:
    """How stored whole numbers become values: value = intercept + slope × stored.

    Parameters
    ----------
    slope, intercept
        Of each channel, shape ``(n_channels,)``.
    """

    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]

    @classmethod
    def over(cls, span: ValueRange) -> "LinearMapping":
        """Spread the range of values over all stored numbers; where all are equal, over one unit from there."""
        width = span.greatest - span.least
        slope = np.where(width > 0, width, 1.0) / (LAST - FIRST)
        return cls(slope, span.least - slope * FIRST)


def store_whole_numbers(values: NDArray[np.float32], grid: TileGrid, mapping: LinearMapping) -> NDArray[np.uint16]:
    """Scale values and give them their places; the error is at most half of the slope.

    Parameters
    ----------
    values
        Shape ``(n_tiles, n_channels)``, rows in the order of the grid's cells; NaN where there is no value.
    grid
        The tiles.
    mapping
        Of the channels.

    Returns
    -------
    NDArray[np.uint16]
        Maps, shape ``(n_channels, n_rows, n_columns)``, little endian, 0 where there is no value.
    """
    scaled = np.empty((_cells_at_once(values.shape[1]), values.shape[1]))
    per_step = 1 / mapping.slope
    has_holes = bool(np.isnan(values.min(initial=0.0)))

    def scale(block: NDArray[np.float32]) -> NDArray[np.float64]:
        steps = np.subtract(block, mapping.intercept, out=scaled[: len(block)])
        steps *= per_step
        np.rint(steps, out=steps)
        if has_holes:
            np.nan_to_num(steps, copy=False, nan=BACKGROUND)
        return steps

    return _place(values, grid, scale, np.dtype("<u2"), BACKGROUND)


def store_as_they_are(values: NDArray[np.float32], grid: TileGrid, padding: float) -> NDArray[np.float32]:
    """Give values their places.

    Parameters
    ----------
    values, grid
        As of `store_whole_numbers`.
    padding
        What pixels without a value hold; no value equals it.

    Returns
    -------
    NDArray[np.float32]
        Maps, shape ``(n_channels, n_rows, n_columns)``, little endian.
    """

    def fill(block: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.nan_to_num(block, nan=padding)

    return _place(values, grid, fill, np.dtype("<f4"), padding)


def padding_below(span: ValueRange) -> float:
    """Choose the value of pixels without one: a whole number just below all values, as single precision has it.

    It is near them, so that a viewer which does not know padding still spreads its colors over the values.
    """
    least = np.float32(span.least.min())
    return float(min(np.floor(least) - np.float32(1), np.nextafter(least, np.float32(-np.inf))))


def compressed_bytes(raw_bytes: int) -> int:
    """How many bytes a frame of this many may have after JPEG-LS; noise grows a little, and small frames more.

    JPEG-LS learns how to code from the frame itself; until it has, values take up to four times their own bits.
    """
    return min(4 * raw_bytes, raw_bytes + raw_bytes // 16 + 8192) + 128


def _place(
    values: NDArray[np.float32],
    grid: TileGrid,
    convert: Callable[[NDArray[np.float32]], NDArray[Any]],
    dtype: np.dtype[Any],
    fill: float,
) -> NDArray[Any]:
    """Turn rows of tiles into maps, a few cells of the grid at once, so that memory is walked through once."""
    if len(values) != len(grid):
        msg = f"{len(values)} rows of values for {len(grid)} tiles"
        raise ValueError(msg)
    n_channels, n_cells = values.shape[1], grid.size.n_rows * grid.size.n_columns
    maps = np.empty((n_channels, n_cells), dtype)
    cells = grid.cells[:, 0].astype(np.int64) * grid.size.n_columns + grid.cells[:, 1]
    step = _cells_at_once(n_channels)
    starts = np.arange(0, n_cells, step)
    bounds = np.append(np.searchsorted(cells, starts), len(cells)).tolist()
    block = np.empty((step, n_channels), dtype)
    for number, start in enumerate(starts.tolist()):
        first, last = bounds[number], bounds[number + 1]
        block[:] = fill
        block[cells[first:last] - start] = convert(values[first:last])
        maps[:, start : start + step] = block[: n_cells - start].T
    return maps.reshape(n_channels, grid.size.n_rows, grid.size.n_columns)


def _cells_at_once(n_channels: int) -> int:
    return max(_VALUES_AT_ONCE // n_channels, 1)
