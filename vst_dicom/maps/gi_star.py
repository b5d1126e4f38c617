"""Gi*: how far the mean around a tile lies above that of similar tissue."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special, stats

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.tiles import TileGrid

RADIUS_UM: Final = 300.0
"""Of the neighborhood of a tile, center to center: 21 tiles of 112 µm."""


_CROSS: Final = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""Rows and columns from a tile to itself and to those that share a side with it."""


class TissueKinds:
    """Compares tiles with those of the same kind.

    Parameters
    ----------
    kinds
        Kind of each tile, from 0, shape ``(n_tiles,)``.
    """

    def __init__(self, kinds: NDArray[np.integer]) -> None:
        names, self._kinds = np.unique(kinds, return_inverse=True)
        self._tiles = [np.flatnonzero(self._kinds == number) for number in range(len(names))]

    def normal_scores(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Replace values by the normal quantiles of their ranks within each kind.

        Parameters
        ----------
        values
            Shape ``(n_tiles, n_genes)``.

        Returns
        -------
        NDArray[np.float32]
            Within each kind mean 0 and variance 1; 0 where a gene does not vary.
        """
        scores = np.zeros(values.shape, dtype=np.float32)
        for gene in range(values.shape[1]):
            for tiles in self._tiles:
                ranks = stats.rankdata(values[tiles, gene])
                scores[tiles, gene] = special.ndtri((ranks - 0.5) / len(tiles))
        return self.standardize(scores)

    def standardize(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give each kind mean 0 and variance 1, shape ``(n_tiles, n_genes)``; 0 where a gene does not vary."""
        standardized = np.empty_like(values)
        for tiles in self._tiles:
            centered = values[tiles]
            centered -= centered.mean(axis=0, dtype=np.float64)
            deviation = np.sqrt(np.einsum("ij,ij->j", centered, centered, dtype=np.float64) / len(tiles))
            centered *= np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0).astype(np.float32)
            standardized[tiles] = centered
        return standardized

    def means(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean of the kind of each tile, shape ``(n_tiles,)``, of values of the same shape."""
        counts = np.bincount(self._kinds)
        means: NDArray[np.float64] = (np.bincount(self._kinds, values) / counts)[self._kinds]
        return means


class Neighborhoods:
    """Tiles within `RADIUS_UM` of each tile, itself included.

    Parameters
    ----------
    grid
        Where tiles lie.
    tiles
        Which of them count, shape ``(n,)``.
    spacing
        Of the base level.
    """

    def __init__(self, grid: TileGrid, tiles: NDArray[np.int64], spacing: PixelSpacing) -> None:
        height_um = grid.tile_size.n_rows * spacing.row_um
        width_um = grid.tile_size.n_columns * spacing.column_um
        most = max(int(RADIUS_UM // height_um), 1), max(int(RADIUS_UM // width_um), 1)
        place = np.full((grid.size.n_rows + 2 * most[0], grid.size.n_columns + 2 * most[1]), -1, dtype=np.int64)
        rows, columns = (grid.cells[tiles] + most).T
        place[rows, columns] = np.arange(len(tiles))
        steps = [
            (row, column)
            for row in range(-most[0], most[0] + 1)
            for column in range(-most[1], most[1] + 1)
            if np.hypot(row * height_um, column * width_um) <= RADIUS_UM
        ]
        neighbors = np.stack([place[rows + row, columns + column] for row, column in steps], axis=1)
        present = neighbors >= 0
        counts = present.sum(axis=1)
        starts = np.concatenate([[0], np.cumsum(counts)])
        ones = np.ones(starts[-1], dtype=np.float32)
        self._cross = np.stack([place[rows + row, columns + column] for row, column in _CROSS], axis=1)
        self._sum = sparse.csr_array((ones, neighbors[present], starts), shape=(len(tiles), len(tiles)))
        n = len(tiles)
        # With fewer tiles in all than in a neighborhood there is nothing outside it, and no deviation either.
        self._deviation = np.sqrt(np.maximum(n * counts - counts**2, 1) / max(n - 1, 1)).astype(np.float32)[:, None]

    def gi_star(self, standardized: NDArray[np.float32]) -> NDArray[np.float32]:
        """Gi* with equal weights (Ord and Getis 1995) of values with mean 0 and variance 1.

        Parameters
        ----------
        standardized
            Shape ``(n_tiles, n_genes)``.

        Returns
        -------
        NDArray[np.float32]
            Of the same shape; a standard normal deviate if values were independent, which on maps they are not.
        """
        return np.asarray(self._sum @ standardized / self._deviation)

    def least_of_cross(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the least value of each tile and the four that share a side with it.

        Parameters
        ----------
        values
            Shape ``(n_tiles, n_genes)``.

        Returns
        -------
        NDArray[np.float32]
            Of the same shape; minus infinity where one of the five is missing.
        """
        least = values.copy()
        for neighbors in self._cross.T[1:]:
            np.minimum(least, values[neighbors], out=least)
        least[(self._cross < 0).any(axis=1)] = -np.inf
        return least
