"""A slide that does not exist: frames of hematoxylin and eosin tissue, painted when they are asked for."""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import GLASS, Level, RgbImage
from vst_dicom.simulate.regions import RegionMap, TissueLayout, TissueParts, map_regions
from vst_dicom.simulate.stain import DYE_AMOUNTS, Camera, DyeAmount, Scanner, Stain
from vst_dicom.simulate.tissue import MARGIN_UM, TissuePainter
from vst_dicom.simulate.window import LATTICE_PX, Window

BLOCK_PX: Final = 1024
"""Side of the squares that are painted at once; frames of this size are read fastest."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a slide was made and scanned.

    Parameters
    ----------
    dyes
        How much it took of each.
    camera
        What scanned it.
    parts
        How much there is of each kind of tissue.
    """

    dyes: DyeAmount = DYE_AMOUNTS[Stain.NORMAL]
    camera: Camera = Camera()  # noqa: RUF009 - frozen value
    parts: TissueParts = TissueParts()  # noqa: RUF009 - frozen value


_SPACING_UM: Final = (0.1, 10.0)
_SMALLEST_UM: Final = 100.0
_LARGEST_SEED: Final = 2**32 - 1


class SimulatedSlide:
    """A procedural slide with one level, a `vst_dicom.domain.pixels.PixelSource`.

    The same seed, size and spacing always give the same pixels, whatever the frame size and the order in which frames
    are read, from as many threads as one likes. Frames are cut from blocks of 1,024 x 1,024 pixels; the last blocks
    are kept, one row of them and some more, so that reading in frame order paints each block once.

    Parameters
    ----------
    size
        Total pixel matrix.
    spacing
        Distance between pixels.
    seed
        Which slide, from 0 to 4,294,967,295.
    frame_size
        Rows and columns of a frame.
    preparation
        How it was made and scanned.

    Raises
    ------
    UsageError
        If the spacing, the seed or the extent of the slide is out of range.
    """

    def __init__(
        self,
        size: MatrixSize,
        spacing: PixelSpacing,
        seed: int,
        frame_size: MatrixSize = MatrixSize(256, 256),  # noqa: B008 - frozen value
        preparation: Preparation = Preparation(),
    ) -> None:
        _check(size, spacing, seed)
        self._level = Level(0, size, spacing, frame_size)
        extent_um = size.n_rows * spacing.row_um, size.n_columns * spacing.column_um
        self._layout = TissueLayout(extent_um, seed, preparation.parts)
        self._painter = TissuePainter(seed, self._layout, spacing, preparation.dyes)
        self._scanner = Scanner(seed, preparation.camera)
        finest_um = min(spacing.row_um, spacing.column_um)
        self._margin_px = LATTICE_PX * max(2, int(np.ceil(MARGIN_UM / finest_um / LATTICE_PX)))
        self._blocks: OrderedDict[tuple[int, int], Future[RgbImage]] = OrderedDict()
        whole_blocks = frame_size.n_rows % BLOCK_PX == 0 and frame_size.n_columns % BLOCK_PX == 0
        self._n_kept = 4 if whole_blocks else -(-size.n_columns // BLOCK_PX) + 4
        self._lock = threading.Lock()

    @property
    def levels(self) -> tuple[Level, ...]:
        """The base level, alone."""
        return (self._level,)

    @property
    def layout(self) -> TissueLayout:
        """The plan that it is painted from."""
        return self._layout

    def region_map(self) -> RegionMap:
        """Say which region every place of this slide belongs to."""
        return map_regions(self._layout, self._level.size, self._level.spacing)

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage:  # noqa: ARG002 - one level
        """Paint one frame, see `vst_dicom.domain.pixels.PixelSource`."""
        frame = self._level.frame_size
        image = self._cut(frame_row * frame.n_rows, frame_column * frame.n_columns, frame)
        if reduce == 1:
            return image
        small = (frame.n_columns // reduce, frame.n_rows // reduce)
        return np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _cut(self, top: int, left: int, frame: MatrixSize) -> RgbImage:
        image: RgbImage = np.full((frame.n_rows, frame.n_columns, 3), GLASS, dtype=np.uint8)
        bottom = min(top + frame.n_rows, self._level.size.n_rows)
        right = min(left + frame.n_columns, self._level.size.n_columns)
        for block_row in range(top // BLOCK_PX, (bottom - 1) // BLOCK_PX + 1):
            for block_column in range(left // BLOCK_PX, (right - 1) // BLOCK_PX + 1):
                block = self._block(block_row, block_column)
                block_top, block_left = block_row * BLOCK_PX, block_column * BLOCK_PX
                first_row, last_row = max(top, block_top), min(bottom, block_top + block.shape[0])
                first_column, last_column = max(left, block_left), min(right, block_left + block.shape[1])
                image[first_row - top : last_row - top, first_column - left : last_column - left] = block[
                    first_row - block_top : last_row - block_top, first_column - block_left : last_column - block_left
                ]
        return image

    def _block(self, row: int, column: int) -> RgbImage:
        """Take a block from those kept, wait for the thread that paints it, or paint it."""
        with self._lock:
            block = self._blocks.get((row, column))
            mine = block is None
            if block is None:
                block = self._blocks[row, column] = Future()
                while len(self._blocks) > self._n_kept:
                    self._blocks.popitem(last=False)
            else:
                self._blocks.move_to_end((row, column))
        if mine:
            try:
                block.set_result(self._paint(row * BLOCK_PX, column * BLOCK_PX))
            except BaseException as error:
                with self._lock:
                    self._blocks.pop((row, column), None)
                block.set_exception(error)
        return block.result()

    def _paint(self, top: int, left: int) -> RgbImage:
        n_rows = min(BLOCK_PX, self._level.size.n_rows - top)
        n_columns = min(BLOCK_PX, self._level.size.n_columns - left)
        margin = self._margin_px
        padded = (-(-n // LATTICE_PX) * LATTICE_PX + 2 * margin for n in (n_rows, n_columns))
        window = Window(top - margin, left - margin, MatrixSize(*padded), self._level.spacing)
        dyes = self._painter.paint(window)
        if dyes is None:
            return self._scanner.scan_glass(n_rows, n_columns, top, left)
        hematoxylin, eosin = (
            plane[margin - 2 : margin + n_rows + 2, margin - 2 : margin + n_columns + 2] for plane in dyes
        )
        image = self._scanner.scan(hematoxylin, eosin, top - 2, left - 2)
        return np.ascontiguousarray(image[2:-2, 2:-2])


def _check(size: MatrixSize, spacing: PixelSpacing, seed: int) -> None:
    low, high = _SPACING_UM
    if not (low <= spacing.row_um <= high and low <= spacing.column_um <= high):
        msg = f"a simulated slide can have {low:g} to {high:g} µm/px, not {spacing.column_um:g} x {spacing.row_um:g}"
        raise UsageError(msg)
    if min(size.n_rows * spacing.row_um, size.n_columns * spacing.column_um) < _SMALLEST_UM:
        msg = f"a simulated slide must be at least {_SMALLEST_UM:g} µm wide and high; choose a larger size"
        raise UsageError(msg)
    if not 0 <= seed <= _LARGEST_SEED:
        msg = f"the seed must lie between 0 and {_LARGEST_SEED}, not {seed}"
        raise UsageError(msg)
