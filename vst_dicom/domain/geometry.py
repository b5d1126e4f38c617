"""Where pixels lie on the glass."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class PixelSpacing:
    """Physical distance between the centers of adjacent pixels.

    Field order follows Pixel Spacing (0028,0030): rows first, then columns (PS3.3 10.7.1.3).

    Parameters
    ----------
    row_mm
        Distance between rows, in millimeters; the step along y.
    column_mm
        Distance between columns, in millimeters; the step along x.

    Raises
    ------
    ValueError
        If a distance is not finite and positive.
    """

    row_mm: float
    column_mm: float

    def __post_init__(self) -> None:
        for name in ("row_mm", "column_mm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                msg = f"{name} must be finite and positive, not {value!r}"
                raise ValueError(msg)

    @classmethod
    def from_um(cls, row_um: float, column_um: float | None = None) -> Self:
        """Take micrometers; one value means square pixels."""
        return cls(row_um / 1000, (row_um if column_um is None else column_um) / 1000)

    @property
    def row_um(self) -> float:
        """Distance between rows, in micrometers."""
        return self.row_mm * 1000

    @property
    def column_um(self) -> float:
        """Distance between columns, in micrometers."""
        return self.column_mm * 1000

    def scaled(self, row_factor: float, column_factor: float) -> "PixelSpacing":
        """Spacing of an image whose pixels cover this many of these pixels."""
        return PixelSpacing(self.row_mm * row_factor, self.column_mm * column_factor)


@dataclass(frozen=True, slots=True)
class MatrixSize:
    """Rows and columns of a matrix of pixels, tiles or frames.

    Raises
    ------
    ValueError
        If a count is not positive.
    """

    n_rows: int
    n_columns: int

    def __post_init__(self) -> None:
        if self.n_rows < 1 or self.n_columns < 1:
            msg = f"a matrix needs at least one row and one column, not {self.n_rows} x {self.n_columns}"
            raise ValueError(msg)

    def divided_by(self, part: "MatrixSize") -> "MatrixSize":
        """How many parts cover this matrix; the last ones may reach beyond it."""
        return MatrixSize(-(-self.n_rows // part.n_rows), -(-self.n_columns // part.n_columns))


@dataclass(frozen=True, slots=True)
class SlidePlane:
    """The plane of a total pixel matrix in the slide coordinate system.

    Parameters
    ----------
    origin_mm
        x, y, z of the *center* of the top left pixel, Total Pixel Matrix Origin Sequence (0048,0008).
    orientation
        Direction cosines of a row (the way x grows), then of a column (the way y grows), Image Orientation
        (Slide) (0048,0102), PS3.3 C.8.12.4.
    spacing
        Distance between pixel centers.

    Raises
    ------
    ValueError
        If the directions are not two perpendicular unit vectors or a number is not finite.
    """

    origin_mm: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    spacing: PixelSpacing

    def __post_init__(self) -> None:
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        if not np.isfinite([*self.origin_mm, *self.orientation]).all():
            raise ValueError("origin and orientation must be finite")
        if abs(row @ row - 1) > 1e-3 or abs(column @ column - 1) > 1e-3 or abs(row @ column) > 1e-3:
            raise ValueError("orientation must be two perpendicular unit vectors")

    def to_slide_mm(self, x_px: ArrayLike, y_px: ArrayLike) -> NDArray[np.float64]:
        """Positions of pixel coordinates on the slide.

        Parameters
        ----------
        x_px, y_px
            Column and row coordinates, shape ``(n,)``; the center of the top left pixel is (0, 0), its outer
            corner (-0.5, -0.5).

        Returns
        -------
        NDArray[np.float64]
            x, y, z in millimeters, shape ``(n, 3)``.
        """
        x_mm = np.atleast_1d(np.asarray(x_px, dtype=np.float64)) * self.spacing.column_mm
        y_mm = np.atleast_1d(np.asarray(y_px, dtype=np.float64)) * self.spacing.row_mm
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        positions: NDArray[np.float64] = np.array(self.origin_mm) + x_mm[:, None] * row + y_mm[:, None] * column
        return positions

    def to_pixels(self, positions_mm: ArrayLike) -> NDArray[np.float64]:
        """Pixel coordinates x, y, shape ``(n, 2)``, of positions of shape ``(n, 3)``; inverse of `to_slide_mm`."""
        offsets = np.atleast_2d(np.asarray(positions_mm, dtype=np.float64)) - np.array(self.origin_mm)
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        return np.stack([offsets @ row / self.spacing.column_mm, offsets @ column / self.spacing.row_mm], axis=1)

    def coarsened(self, block: MatrixSize) -> "SlidePlane":
        """Plane of a map whose pixel covers a block of pixels; its origin is the center of the first block."""
        x, y, z = self.to_slide_mm((block.n_columns - 1) / 2, (block.n_rows - 1) / 2)[0]
        return SlidePlane(
            (float(x), float(y), float(z)), self.orientation, self.spacing.scaled(block.n_rows, block.n_columns)
        )
