"""A rectangle of the slide that is painted in one go, with the margin that its neighbors share."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing

LATTICE_PX = 4
"""Smooth fields are computed at every fourth pixel and interpolated."""
LARGEST_PX = 1536
"""No window has more rows or columns; periodic tiles are kept with this much repeated."""

SUBPIXEL_BITS = 6
"""Outlines are drawn at a 64th of a pixel."""


def choose_fine_step(spacing: PixelSpacing) -> int:
    """Pixels per step of the finer lattice, close to 1 µm, on which cytoplasm and fibers are computed."""
    finest_um = min(spacing.row_um, spacing.column_um)
    return 4 if finest_um < 0.3 else 2 if finest_um < 0.7 else 1


@dataclass(frozen=True, slots=True)
class Window:
    """Some rows and columns of the total pixel matrix; they may reach beyond it.

    Parameters
    ----------
    top, left
        First row and column, multiples of `LATTICE_PX`, negative above and left of the slide.
    size
        Rows and columns, multiples of `LATTICE_PX`.
    spacing
        Distance between pixels.
    """

    top: int
    left: int
    size: MatrixSize
    spacing: PixelSpacing

    @property
    def fine_step_px(self) -> int:
        """Step of the finer lattice."""
        return choose_fine_step(self.spacing)

    def y_um(self, step_px: int = LATTICE_PX) -> NDArray[np.float64]:
        """Middles of the rows of a lattice, micrometers from the upper edge of the slide."""
        return (self.top + np.arange(0.5, self.size.n_rows // step_px) * step_px) * self.spacing.row_um

    def x_um(self, step_px: int = LATTICE_PX) -> NDArray[np.float64]:
        """Middles of the columns of a lattice, micrometers from the left edge of the slide."""
        return (self.left + np.arange(0.5, self.size.n_columns // step_px) * step_px) * self.spacing.column_um

    def box_um(self, margin_um: float) -> tuple[float, float, float, float]:
        """Top, left, bottom, right with a margin around."""
        return (
            self.top * self.spacing.row_um - margin_um,
            self.left * self.spacing.column_um - margin_um,
            (self.top + self.size.n_rows) * self.spacing.row_um + margin_um,
            (self.left + self.size.n_columns) * self.spacing.column_um + margin_um,
        )

    def pixels(
        self, y_um: NDArray[np.float64], x_um: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column, counted from the window's corner, of the pixels that hold these points."""
        rows = np.floor(y_um / self.spacing.row_um).astype(np.int64) - self.top
        columns = np.floor(x_um / self.spacing.column_um).astype(np.int64) - self.left
        return rows, columns

    def inside(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these rows and columns lie in the window."""
        answer: NDArray[np.bool_] = (rows >= 0) & (columns >= 0)
        answer &= (rows < self.size.n_rows) & (columns < self.size.n_columns)
        return answer

    def polygon(self, outline_um: NDArray[np.float64]) -> NDArray[np.int32]:
        """Corners x, y of an outline given as y, x, in the fixed-point pixels that OpenCV draws, shape ``(n, 2)``."""
        pixels = outline_um / (self.spacing.row_um, self.spacing.column_um) - (self.top, self.left) - 0.5
        corners: NDArray[np.int32] = np.rint(pixels[:, ::-1] * 2**SUBPIXEL_BITS).astype(np.int32)
        return corners

    def enlarge(self, lattice: NDArray[np.floating], step_px: int = 1) -> NDArray[np.float32]:
        """Bring a field from a lattice to a finer one, by default to all pixels."""
        n_rows, n_columns = self.size.n_rows // step_px, self.size.n_columns // step_px
        if lattice.shape == (n_rows, n_columns):
            return lattice.astype(np.float32)
        finer = cv2.resize(lattice.astype(np.float32, copy=False), (n_columns, n_rows), interpolation=cv2.INTER_LINEAR)
        return np.asarray(finer, dtype=np.float32)


class LatticeLookup:
    """Reads fields of the coarse lattice at some pixels of a window.

    Parameters
    ----------
    rows, columns
        Pixels, counted from the window's corner, shape ``(n,)``.
    inside
        Which of them lie in the window; the others read the first value of a field.
    """

    def __init__(self, rows: NDArray[np.int64], columns: NDArray[np.int64], inside: NDArray[np.bool_]) -> None:
        self._rows = np.where(inside, rows, 0) // LATTICE_PX
        self._columns = np.where(inside, columns, 0) // LATTICE_PX

    def __call__(self, lattice: NDArray[np.floating]) -> NDArray[np.float64]:
        """Values of the field, shape ``(n,)``."""
        values: NDArray[np.float64] = lattice[self._rows, self._columns].astype(np.float64)
        return values
