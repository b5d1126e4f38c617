"""Decode frames ahead of their use, in several threads, in a bounded window."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.pixels import Level, PixelSource, RgbImage

FramePosition = tuple[int, int]
"""Row and column in the frame grid of a level, from 0."""

SPACING_TOLERANCE: Final = 1.02
"""A level counts as fine enough when it is at most 2 % coarser than wanted; resampling by so little gains nothing."""

_REDUCTIONS: Final = (8, 4, 2)
"""Fractions at which codecs decode directly (ITU-T T.81 DCT scaling, JPEG 2000 resolution levels)."""


def choose_level(levels: Sequence[Level], wanted: PixelSpacing) -> tuple[Level, int]:
    """Choose the level and the reduction that give the coarsest pixels still fine enough.

    Parameters
    ----------
    levels
        Resolutions, the largest first.
    wanted
        Spacing to reach along both axes.

    Returns
    -------
    tuple[Level, int]
        The level, and 1, 2, 4 or 8. Where even the base level is too coarse: the base level, unreduced.
    """
    sufficient = [level for level in levels if _is_fine_enough(level, 1, wanted)]
    if not sufficient:
        return levels[0], 1
    level = max(sufficient, key=lambda one: one.spacing.row_mm * one.spacing.column_mm)
    for reduce in _REDUCTIONS:
        divides = level.frame_size.n_rows % reduce == 0 and level.frame_size.n_columns % reduce == 0
        if divides and _is_fine_enough(level, reduce, wanted):
            return level, reduce
    return level, 1


def read_frames(
    source: PixelSource, level: Level, positions: Sequence[FramePosition], reduce: int, threads: int = 2
) -> Iterator[tuple[FramePosition, RgbImage | None]]:
    """Decode frames in the given order, each once, a few ahead of the reader.

    Parameters
    ----------
    source, level
        Where from.
    positions
        Which frames, in the order in which they are wanted.
    reduce
        1, 2, 4 or 8, see `PixelSource.read_frame`.
    threads
        How many frames are decoded side by side; three times as many wait at most.

    Yields
    ------
    tuple[FramePosition, RgbImage or None]
        Position and pixels; None where the slide has no frame.
    """
    remaining = iter(positions)
    with ThreadPoolExecutor(threads, thread_name_prefix="frames") as pool:
        window: deque[tuple[FramePosition, Future[RgbImage | None]]] = deque()

        def fill(count: int) -> None:
            for row, column in islice(remaining, count):
                window.append(((row, column), pool.submit(source.read_frame, level.index, row, column, reduce)))

        fill(3 * threads)
        try:
            while window:
                position, future = window.popleft()
                yield position, future.result()
                fill(1)
        finally:
            for _, future in window:
                future.cancel()


def _is_fine_enough(level: Level, reduce: int, wanted: PixelSpacing) -> bool:
    return (
        level.spacing.row_mm * reduce <= wanted.row_mm * SPACING_TOLERANCE
        and level.spacing.column_mm * reduce <= wanted.column_mm * SPACING_TOLERANCE
    )
