"""Decode frames ahead of their use, in several threads, in a bounded window."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import chain, islice
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.pixels import Level, PixelSource, RgbImage, RunSource

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

FramePosition = tuple[int, int]
"""Row and column in the frame grid of a level, from 0."""

SPACING_TOLERANCE: Final = 1.02
"""A level counts as fine enough when it is at most 2 % coarser than wanted; resampling by so little gains nothing."""

THREADS: Final = min(os.cpu_count() or 1, 16)
"""Runs of frames that are decoded side by side; more than this no network keeps up with."""

_RUN_PX: Final = 1 << 21
"""Encoded pixels that one thread decodes at a stretch: some milliseconds, against which handing over counts nothing."""

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


def run_length(level: Level) -> int:
    """How many frames side by side one thread takes at a time."""
    return max(1, _RUN_PX // (level.frame_size.n_rows * level.frame_size.n_columns))


def read_run(
    source: PixelSource,
    level: Level,
    frame_row: int,
    frame_columns: Sequence[int],
    reduce: int,
    memory: NDArray[np.uint8],
) -> Iterator[bool]:
    """Decode some frames of a row into memory, one after the other, see `RunSource.read_run`."""
    if isinstance(source, RunSource):
        yield from source.read_run(level.index, frame_row, frame_columns, reduce, memory)
        return
    for number, frame_column in enumerate(frame_columns):
        pixels = source.read_frame(level.index, frame_row, frame_column, reduce)
        if pixels is not None:
            memory[number % len(memory)] = pixels
        yield pixels is not None


def work_ahead(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    threads: int,
    *,
    weigh: Callable[[_Item], int] = lambda _: 1,
    portion: int = 1,
) -> Iterator[list[_Result]]:
    """Work on items in threads, some of them before their results are asked for.

    Parameters
    ----------
    work
        What a thread does with an item.
    items
        In the order in which the results are wanted; taken as they are needed.
    threads
        How many work side by side.
    weigh, portion
        So much weight of items makes a portion. While the caller is busy, at least another one is under way, and
        twice as many items as threads.

    Yields
    ------
    list
        What `work` answers for the items of a portion, in their order. What it raises is raised in its place.
    """
    remaining = iter(items)
    window: deque[tuple[Future[_Result], int]] = deque()
    due: list[Future[_Result]] = []
    weight = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="frames") as pool:

        def fill() -> None:
            nonlocal weight
            while len(window) < 2 * threads or weight < portion:
                for item in islice(remaining, 1):
                    window.append((pool.submit(work, item), weigh(item)))
                    weight += window[-1][1]
                    break
                else:
                    return

        fill()
        try:
            while window:
                due, done = [], 0
                while window and (not due or done < portion):
                    future, more = window.popleft()
                    due.append(future)
                    done += more
                weight -= done
                fill()
                wait(due[-1:])  # first for the last, so that this thread wakes up once
                yield [future.result() for future in due]
        finally:
            for future in [*due, *(future for future, _ in window)]:
                future.cancel()


def read_frames(
    source: PixelSource, level: Level, positions: Sequence[FramePosition], reduce: int, threads: int = THREADS
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
        How many frames are decoded side by side; twice as many wait at most.

    Yields
    ------
    tuple[FramePosition, RgbImage or None]
        Position and pixels; None where the slide has no frame.
    """

    def read(position: FramePosition) -> tuple[FramePosition, RgbImage | None]:
        return position, source.read_frame(level.index, *position, reduce)

    return chain.from_iterable(work_ahead(read, positions, threads))


def _is_fine_enough(level: Level, reduce: int, wanted: PixelSpacing) -> bool:
    return (
        level.spacing.row_mm * reduce <= wanted.row_mm * SPACING_TOLERANCE
        and level.spacing.column_mm * reduce <= wanted.column_mm * SPACING_TOLERANCE
    )
