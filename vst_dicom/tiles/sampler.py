"""Cut tiles out of a slide, going through its frames in order and decoding each once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import GLASS, Level, PixelSource, RgbImage
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.tiles.frames import FramePosition, choose_level, read_frames

TILE_PX: Final = 224
"""Side of a tile as the model sees it."""


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
    threads: int = 2,
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
    corners = np.rint(np.asarray(corners_px) / plan.base_px).astype(np.int64)
    order = np.lexsort((corners[:, 0], corners[:, 1] // plan.frame.n_rows))
    frames_of = [frames_under(plan, x, y) for x, y in corners[order].tolist()]
    last_use = {frame: position for position, frames in enumerate(frames_of) for frame in frames}
    first_use = dict.fromkeys(frame for frames in frames_of for frame in frames)
    stream = read_frames(source, plan.level, list(first_use), plan.reduce, threads)

    held: dict[FramePosition, RgbImage | None] = {}
    images = np.empty((min(batch_size, len(order)), tile_px, tile_px, 3), dtype=np.uint8)
    for position, (tile, frames) in enumerate(zip(order.tolist(), frames_of, strict=True)):
        while any(frame not in held for frame in frames):
            arrived, pixels = next(stream)
            held[arrived] = pixels
        slot = position % batch_size
        images[slot] = _fit(_cut(plan, corners[tile], {frame: held[frame] for frame in frames}), tile_px)
        for frame in frames:
            if last_use[frame] == position:
                del held[frame]
        if slot == batch_size - 1 or position == len(order) - 1:
            yield TileBatch(order[position - slot : position + 1], images[: slot + 1].copy())


def frames_under(plan: ReadingPlan, x: int, y: int) -> list[FramePosition]:
    """Frames that a tile at decoded pixel x, y touches; none when it lies beside the slide."""
    left, right = max(x, 0), min(x + plan.crop.n_columns, plan.limit.n_columns)
    top, bottom = max(y, 0), min(y + plan.crop.n_rows, plan.limit.n_rows)
    if left >= right or top >= bottom:
        return []
    rows = range(top // plan.frame.n_rows, -(-bottom // plan.frame.n_rows))
    columns = range(left // plan.frame.n_columns, -(-right // plan.frame.n_columns))
    return list(product(rows, columns))


def _cut(plan: ReadingPlan, corner: NDArray[np.int64], frames: dict[FramePosition, RgbImage | None]) -> RgbImage:
    """Paste the parts of frames that a tile covers, shape ``(crop rows, crop columns, 3)``."""
    left, top = int(corner[0]), int(corner[1])
    tile = np.full((plan.crop.n_rows, plan.crop.n_columns, 3), GLASS, dtype=np.uint8)
    for (row, column), pixels in frames.items():
        if pixels is None:
            continue
        frame_top, frame_left = row * plan.frame.n_rows, column * plan.frame.n_columns
        y0, y1 = max(top, frame_top, 0), min(top + plan.crop.n_rows, frame_top + plan.frame.n_rows, plan.limit.n_rows)
        x0 = max(left, frame_left, 0)
        x1 = min(left + plan.crop.n_columns, frame_left + plan.frame.n_columns, plan.limit.n_columns)
        tile[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[
            y0 - frame_top : y1 - frame_top, x0 - frame_left : x1 - frame_left
        ]
    return tile


def _fit(tile: RgbImage, tile_px: int) -> RgbImage:
    """Bring a tile to the model's size."""
    if tile.shape[:2] == (tile_px, tile_px):
        return tile
    shrinks = tile.shape[0] >= tile_px and tile.shape[1] >= tile_px
    fitted = cv2.resize(tile, (tile_px, tile_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return fitted.astype(np.uint8, copy=False)
