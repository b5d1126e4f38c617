"""Cut tiles out of a slide, going through its frames in order and decoding each once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import GLASS, Level, PixelSource
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.tiles.cutting import N_SAMPLES, CuttingPlan, Run
from vst_dicom.tiles.frames import THREADS, choose_level, read_run, run_length, work_ahead
from vst_dicom.tiles.memory import ArrayPool, frame_memory

TILE_PX: Final = 224
"""Side of a tile as the model sees it."""

_Job = tuple[Run, dict[int, NDArray[np.uint8]]]
"""Frames to decode, and the memory of the batches that they go to."""


@dataclass(frozen=True, slots=True)
class ReadingPlan:
    """How tiles of one size are read.

    Parameters
    ----------
    level, reduce
        Which level, and at what fraction its frames are decoded.
    base_px
        Base level pixels per decoded pixel, along x and along y.
    crop
        Rows and columns of a tile in decoded pixels.
    """

    level: Level
    reduce: int
    base_px: tuple[float, float]
    crop: MatrixSize

    @property
    def frame(self) -> MatrixSize:
        """Rows and columns of a decoded frame."""
        return MatrixSize(self.level.frame_size.n_rows // self.reduce, self.level.frame_size.n_columns // self.reduce)

    @property
    def limit(self) -> MatrixSize:
        """Rows and columns of the level in decoded pixels; one that is partly padding does not count."""
        return MatrixSize(
            max(1, self.level.size.n_rows // self.reduce), max(1, self.level.size.n_columns // self.reduce)
        )


def plan_reading(levels: Sequence[Level], tile_size: MatrixSize, tile_px: int = TILE_PX) -> ReadingPlan:
    """Choose the level nearest to, and not coarser than, what the model sees.

    Parameters
    ----------
    levels
        Resolutions, the largest first.
    tile_size
        Rows and columns of a tile, base level pixels.
    tile_px
        Side of a tile as the model sees it.
    """
    base = levels[0].spacing
    level, reduce = choose_level(levels, base.scaled(tile_size.n_rows / tile_px, tile_size.n_columns / tile_px))
    factor_x = level.spacing.column_mm * reduce / base.column_mm
    factor_y = level.spacing.row_mm * reduce / base.row_mm
    crop = MatrixSize(max(1, round(tile_size.n_rows / factor_y)), max(1, round(tile_size.n_columns / factor_x)))
    return ReadingPlan(level, reduce, (factor_x, factor_y), crop)


def sample_tiles(
    source: PixelSource,
    corners_px: NDArray[np.int64],
    tile_size: MatrixSize,
    *,
    tile_px: int = TILE_PX,
    batch_size: int = 32,
    threads: int = THREADS,
) -> Iterator[TileBatch]:
    """Read tiles as the model sees them.

    Every frame is decoded exactly once, at the smallest sufficient scale; at any time memory holds the frames of at
    most two frame rows that tiles still need. Shrinking averages by area, enlarging interpolates linearly.

    Parameters
    ----------
    source
        The slide.
    corners_px
        x, y of the top left pixel of each tile, base level, shape ``(n_tiles, 2)``; tiles may overlap and may reach
        beyond the slide, where they are glass.
    tile_size
        Rows and columns of a tile, base level pixels.
    tile_px
        Side of the images.
    batch_size
        Tiles per batch; the last may be smaller.
    threads
        Frames decoded side by side.

    Yields
    ------
    TileBatch
        Every tile once, in the order of the frames; its indices say which.

    Raises
    ------
    DamagedInstanceError
        If a frame cannot be decoded.
    """
    plan = plan_reading(source.levels, tile_size, tile_px)
    cutting = cut_tiles(plan, corners_px)
    order, n_tiles = cutting.order, len(cutting.order)
    pool = ArrayPool((batch_size, plan.crop.n_rows, plan.crop.n_columns * N_SAMPLES))
    fitted = ArrayPool((batch_size, tile_px, tile_px, N_SAMPLES))
    begun: dict[int, NDArray[np.uint8]] = {}

    def begin(number: int) -> NDArray[np.uint8]:
        """Memory of a batch, shape ``(n, crop rows, samples of a crop row)``; glass where the slide ends."""
        if number not in begun:
            here = slice(number * batch_size, min((number + 1) * batch_size, n_tiles))
            begun[number] = pool.take()[: here.stop - here.start]
            begun[number][cutting.reaches_out[here]] = GLASS
        return begun[number]

    def jobs() -> Iterator[_Job]:
        for run in cutting.runs():
            numbers = np.unique(run.rectangles[:, 0] // batch_size).tolist()
            yield run, {number: begin(number) for number in numbers}

    def paste(job: _Job) -> int:
        run, batches = job
        memory = frame_memory(plan.frame)
        flat = memory.reshape(len(memory), plan.frame.n_rows, -1)
        rectangles = run.rectangles.tolist()
        bounds = enumerate(pairwise(run.first))
        decoded = read_run(source, plan.level, run.frame_row, run.frame_columns, plan.reduce, memory)
        # Several are decoded, then copied: each decoded frame drives the interpreter out of the processor's caches.
        while are_there := list(islice(decoded, len(memory))):
            for is_there, (number, (first, last)) in zip(are_there, bounds, strict=False):
                pixels = flat[number % len(memory)]
                for position, y0, y1, x0, x1, v0, v1, u0, u1 in rectangles[first:last]:
                    batch, slot = divmod(position, batch_size)
                    batches[batch][slot, y0:y1, x0:x1] = pixels[v0:v1, u0:u1] if is_there else GLASS
        return run.n_completed

    n_done, number = 0, 0
    completed = work_ahead(paste, jobs(), threads, weigh=lambda job: job[0].n_completed, portion=batch_size)
    for n_more in chain(completed, [[n_tiles]]):
        n_done += sum(n_more)
        while number * batch_size < n_tiles and n_done >= min((number + 1) * batch_size, n_tiles):
            begin(number)
            cut = begun.pop(number).reshape(-1, plan.crop.n_rows, plan.crop.n_columns, N_SAMPLES)
            images = cut if cut.shape[1:3] == (tile_px, tile_px) else _fit(cut, fitted.take()[: len(cut)])
            del cut
            yield TileBatch(order[number * batch_size :][: len(images)], images)
            number += 1


def cut_tiles(plan: ReadingPlan, corners_px: NDArray[np.int64]) -> CuttingPlan:
    """Which frames are needed for tiles at the given corners (base level), and what is copied from them."""
    corners = np.rint(np.asarray(corners_px).reshape(-1, 2) / plan.base_px).astype(np.int64)
    return CuttingPlan(corners, plan.crop, plan.frame, plan.limit, run_length(plan.level))


def _fit(tiles: NDArray[np.uint8], fitted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring tiles to the model's size."""
    n_rows, n_columns = fitted.shape[1:3]
    shrinks = tiles.shape[1] >= n_rows and tiles.shape[2] >= n_columns
    for tile, target in zip(tiles, fitted, strict=True):
        cv2.resize(tile, (n_columns, n_rows), dst=target, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return fitted
