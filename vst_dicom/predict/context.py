"""What lies around a tile: means over wider and wider squares of neighbors."""

from itertools import product

import numpy as np
from numpy.typing import NDArray


class Surroundings:
    """The squares of neighbors of each tile.

    A mean goes over those cells of a square that have a tile, the tile itself included; cells without tissue have
    none and do not count.

    Parameters
    ----------
    cells
        Grid row and column of each tile, shape ``(n_tiles, 2)``, from 0, no cell twice.
    context
        Sides of the squares in tiles, odd and growing; 1 is the tile itself.

    Raises
    ------
    ValueError
        If a side is even or out of order.
    """

    def __init__(self, cells: NDArray[np.int32], context: tuple[int, ...]) -> None:
        if not context or any(side % 2 == 0 or side < 1 for side in context) or list(context) != sorted(set(context)):
            msg = f"context must be growing odd sides, not {context}"
            raise ValueError(msg)
        self._context = context
        reach = context[-1] // 2
        n_rows, n_columns = cells.max(axis=0, initial=-1) + 1
        self._tile_at = np.full((n_rows + 2 * reach, n_columns + 2 * reach), -1, dtype=np.int64)
        self._places = cells.astype(np.int64) + reach
        self._tile_at[tuple(self._places.T)] = np.arange(len(cells))

    def means(self, values: NDArray[np.float32], tiles: slice = slice(None)) -> NDArray[np.float32]:
        """Mean over each square.

        Parameters
        ----------
        values
            Of each tile, and of each of them for each square, shape ``(n_tiles, len(context), n)``.
        tiles
            Which tiles to answer for, so that a large slide can be worked on piece by piece.

        Returns
        -------
        NDArray[np.float32]
            Shape ``(number of these tiles, len(context), n)``.

        Raises
        ------
        ValueError
            If there is not one row per tile or one value per square.
        """
        if values.shape[:2] != (len(self._places), len(self._context)):
            msg = f"values must have shape ({len(self._places)}, {len(self._context)}, n), not {values.shape}"
            raise ValueError(msg)
        rows, columns = self._places[tiles].T
        means = np.empty((len(rows), *values.shape[1:]), dtype=np.float32)
        for square, side in enumerate(self._context):
            own = values[:, square]
            if side == 1:
                means[:, square] = own[tiles]
                continue
            sums = np.zeros((len(rows), values.shape[2]), dtype=np.float32)
            counts = np.zeros((len(rows), 1), dtype=np.float32)
            steps = range(-(side // 2), side // 2 + 1)
            for row_step, column_step in product(steps, repeat=2):
                neighbor = self._tile_at[rows + row_step, columns + column_step]
                present = neighbor >= 0
                sums[present] += own[neighbor[present]]
                counts[present] += 1
            means[:, square] = sums / counts
        return means


def with_context(
    embeddings: NDArray[np.float32],
    cells: NDArray[np.int32],
    tiles: slice = slice(None),
    context: tuple[int, ...] = (1, 3, 5),
) -> NDArray[np.float32]:
    """Put the mean features of wider and wider neighborhoods of a tile beside each other, as heads are fitted on.

    Parameters
    ----------
    embeddings
        Shape ``(n_tiles, embed_dim)``.
    cells, context
        See `Surroundings`.
    tiles
        Which tiles to answer for.

    Returns
    -------
    NDArray[np.float32]
        One block per square, shape ``(number of these tiles, len(context) * embed_dim)``.

    Raises
    ------
    ValueError
        If there is not one cell per tile, or a side is even or out of order.
    """
    if cells.shape != (len(embeddings), 2):
        msg = f"cells must have shape ({len(embeddings)}, 2), not {cells.shape}"
        raise ValueError(msg)
    around = Surroundings(cells, context)
    own = np.broadcast_to(embeddings[:, np.newaxis], (len(embeddings), len(context), embeddings.shape[1]))
    means = around.means(own, tiles)
    return means.reshape(len(means), own.shape[1] * own.shape[2])
