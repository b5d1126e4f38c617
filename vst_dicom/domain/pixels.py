"""Where readers, the sampler and encoders meet: levels, frames, a small picture of the slide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing

RgbImage = NDArray[np.uint8]
"""Shape ``(n_rows, n_columns, 3)``, red, green, blue."""

GLASS = 255
"""Value of pixels that no frame covers, and of padding beyond the total pixel matrix."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide; index 0 is the largest.

    Parameters
    ----------
    index
        Position in the pyramid.
    size
        Total pixel matrix, (0048,0007) rows and (0048,0006) columns.
    spacing
        Distance between pixel centers at this level.
    frame_size
        Rows (0028,0010) and columns (0028,0011) of a frame.
    """

    index: int
    size: MatrixSize
    spacing: PixelSpacing
    frame_size: MatrixSize

    @property
    def frame_grid(self) -> MatrixSize:
        """How many frames lie below each other and side by side."""
        return self.size.divided_by(self.frame_size)


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """The whole slide at a few micrometers per pixel.

    Parameters
    ----------
    image
        Its pixels; the first one begins at the corner of the base level's matrix.
    base_px
        Base level pixels per thumbnail pixel, along x and along y.
    spacing
        Its pixel spacing.
    """

    image: RgbImage
    base_px: tuple[float, float]
    spacing: PixelSpacing


class PixelSource(Protocol):
    """Anything whose pixels come as frames of levels: a DICOM slide, a vendor's file, a simulated slide."""

    @property
    def levels(self) -> Sequence[Level]:
        """Resolutions, the largest first."""
        ...

    def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage | None:
        """Decode one frame; safe to call from several threads at once.

        Parameters
        ----------
        level
            Index of the level.
        frame_row, frame_column
            Position in the level's frame grid, from 0.
        reduce
            1, 2, 4 or 8: decode at this fraction of the size. It must divide the rows and columns of a frame.

        Returns
        -------
        RgbImage or None
            The whole frame, ``frame_size / reduce`` pixels, also where it reaches beyond the matrix (there its
            content means nothing); None where the slide has no frame (TILED_SPARSE), which means glass.

        Raises
        ------
        DamagedInstanceError
            If the frame cannot be decoded.
        """
        ...


@runtime_checkable
class RunSource(Protocol):
    """A pixel source that decodes frames of a row into memory of the caller, for whoever copies them at once."""

    def read_run(
        self, level: int, frame_row: int, frame_columns: Sequence[int], reduce: int, memory: RgbImage
    ) -> Iterator[bool]:
        """Decode frames one after the other; safe to call from several threads at once.

        Parameters
        ----------
        level, frame_row, reduce
            As of `PixelSource.read_frame`.
        frame_columns
            Which frames of the row, in the order in which they are wanted.
        memory
            Where each frame is written when its turn comes, of the shape that `PixelSource.read_frame` answers.

        Yields
        ------
        bool
            Whether the slide has the frame; if not, the memory means nothing.

        Raises
        ------
        DamagedInstanceError
            If a frame cannot be decoded, when its turn comes.
        """
        ...
