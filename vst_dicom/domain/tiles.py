"""The grid of tiles that the model sees."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import MatrixSize

_Value = TypeVar("_Value", np.bool_, np.uint16, np.float32)


@dataclass(frozen=True, eq=False)
class TileGrid:
    """Square pieces of tissue, on a regular grid that starts at the top left corner of the total pixel matrix.

    One cell of the grid becomes one pixel of every map, so its sides are whole numbers of base level pixels.

    Parameters
    ----------
    tile_size
        Rows and columns of a tile, in base level pixels.
    size
        Rows and columns of the grid; the last ones may reach beyond the slide.
    cells
        Grid row and column of each tile, from 0, shape ``(n_tiles, 2)``, sorted by row, then column.

    Raises
    ------
    ValueError
        If the cells have another shape, lie outside the grid, or are not sorted and unique.
    """

    tile_size: MatrixSize
    size: MatrixSize
    cells: NDArray[np.int32]

    def __post_init__(self) -> None:
        if self.cells.ndim != 2 or self.cells.shape[1] != 2:
            msg = f"cells must have shape (n_tiles, 2), not {self.cells.shape}"
            raise ValueError(msg)
        if len(self.cells) and (
            self.cells.min() < 0 or (self.cells.max(axis=0) >= (self.size.n_rows, self.size.n_columns)).any()
        ):
            raise ValueError("cells must lie inside the grid")
        order = self.cells[:, 0].astype(np.int64) * self.size.n_columns + self.cells[:, 1]
        if (np.diff(order) <= 0).any():
            raise ValueError("cells must be unique and sorted by row, then column")

    def __len__(self) -> int:
        return len(self.cells)

    def subset(self, keep: NDArray[np.bool_]) -> "TileGrid":
        """Leave out tiles; the grid itself stays as large. `keep` has shape ``(n_tiles,)``."""
        return TileGrid(self.tile_size, self.size, self.cells[keep])

    @property
    def corners_px(self) -> NDArray[np.int64]:
        """x, y of the top left pixel of each tile, base level, from 0, shape ``(n_tiles, 2)``."""
        return self.cells[:, ::-1].astype(np.int64) * (self.tile_size.n_columns, self.tile_size.n_rows)

    @property
    def centers_px(self) -> NDArray[np.float64]:
        """x, y of the middle of each tile, base level, pixel centers at whole numbers, shape ``(n_tiles, 2)``."""
        half = np.array([self.tile_size.n_columns - 1, self.tile_size.n_rows - 1]) / 2
        return self.corners_px + half

    def place(self, values: NDArray[_Value], fill: float) -> NDArray[_Value]:
        """Give one value per tile its place.

        One tile becomes one map pixel; nothing is interpolated, so a map never shows detail that the model did not
        predict.

        Parameters
        ----------
        values
            Shape ``(n_tiles, n_channels)``, rows in the order of the cells.
        fill
            What cells without a tile get.

        Returns
        -------
        NDArray
            Shape ``(n_channels, n_rows, n_columns)``, of the type of `values`.

        Raises
        ------
        ValueError
            If `values` does not have one row per tile.
        """
        if len(values) != len(self):
            msg = f"{len(values)} rows of values for {len(self)} tiles"
            raise ValueError(msg)
        maps = np.full((values.shape[1], self.size.n_rows, self.size.n_columns), fill, dtype=values.dtype)
        maps[:, self.cells[:, 0], self.cells[:, 1]] = values.T
        return maps

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True where the grid has a tile, shape ``(n_rows, n_columns)``."""
        mask = np.zeros((self.size.n_rows, self.size.n_columns), dtype=np.bool_)
        mask[self.cells[:, 0], self.cells[:, 1]] = True
        return mask


@dataclass(frozen=True, eq=False)
class TileQuality:
    """What was seen in each tile besides the model's answer; every array has shape ``(n_tiles,)``.

    Parameters
    ----------
    tissue_fraction
        Part of the tile that is tissue, 0 to 1.
    sharpness
        Variance of the Laplacian of the tile's optical density; small means out of focus.
    blurred
        Whether the sharpness lies below the limit.
    inked
        Whether pen or marker ink covers the tile.
    """

    tissue_fraction: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    blurred: NDArray[np.bool_]
    inked: NDArray[np.bool_]

    def of_tiles(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "TileQuality":
        """Take some tiles: a mask, or indices in the order that is wanted."""
        return TileQuality(self.tissue_fraction[rows], self.sharpness[rows], self.blurred[rows], self.inked[rows])


@dataclass(frozen=True, eq=False)
class TileBatch:
    """Some tiles as the model sees them.

    Parameters
    ----------
    indices
        Which tiles, shape ``(n,)``.
    images
        Their pixels, red, green, blue, shape ``(n, tile_px, tile_px, 3)``.
    """

    indices: NDArray[np.int64]
    images: NDArray[np.uint8]
