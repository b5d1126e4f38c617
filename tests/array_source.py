"""A pixel source over arrays in memory, for tests."""

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import Level, RgbImage


class ArraySource:
    """Levels are given as images; frames are cut from them, and every read is counted."""

    def __init__(
        self,
        images: Sequence[RgbImage],
        spacing: PixelSpacing,
        frame: MatrixSize,
        factors: Sequence[float] = (1,),
        missing: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        self._images = images
        self._missing = missing
        self.reads: Counter[tuple[int, int, int]] = Counter()
        self.levels = tuple(
            Level(index, MatrixSize(*image.shape[:2]), spacing.scaled(factor, factor), frame)
            for index, (image, factor) in enumerate(zip(images, factors, strict=True))
        )

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage | None:
        self.reads[level, frame_row, frame_column] += 1
        if (frame_row, frame_column) in self._missing:
            return None
        size = self.levels[level].frame_size
        padded = np.zeros((size.n_rows, size.n_columns, 3), dtype=np.uint8)
        top, left = frame_row * size.n_rows, frame_column * size.n_columns
        part = self._images[level][top : top + size.n_rows, left : left + size.n_columns]
        padded[: part.shape[0], : part.shape[1]] = part
        if reduce == 1:
            return padded
        shape = (size.n_columns // reduce, size.n_rows // reduce)
        return cv2.resize(padded, shape, interpolation=cv2.INTER_AREA).astype(np.uint8)
