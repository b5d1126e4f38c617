"""From features of tiles to expression: context of the neighborhood, principal components, ridge."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray


def with_context(
    embeddings: NDArray[np.float32], cells: NDArray[np.int32], tiles: slice = slice(None)
) -> NDArray[np.float32]:
    """Put the mean features of a tile's 3 × 3 neighborhood beside its own.

    The mean goes over those of the nine cells that have a tile, the tile itself included; cells without tissue have
    none and do not count. Training and prediction both use this function.

    Parameters
    ----------
    embeddings
        Shape ``(n_tiles, embed_dim)``.
    cells
        Grid row and column of each tile, shape ``(n_tiles, 2)``, from 0, no cell twice.
    tiles
        Which tiles to answer for, so that a large slide can be worked on piece by piece.

    Returns
    -------
    NDArray[np.float32]
        Own features, then the neighborhood's, shape ``(number of these tiles, 2 * embed_dim)``.

    Raises
    ------
    ValueError
        If there is not one cell per tile.
    """
    if cells.shape != (len(embeddings), 2):
        msg = f"cells must have shape ({len(embeddings)}, 2), not {cells.shape}"
        raise ValueError(msg)
    own = embeddings[tiles]
    sums, counts = np.zeros_like(own), np.zeros((len(own), 1), dtype=np.float32)
    if len(own):
        n_rows, n_columns = cells.max(axis=0) + 1
        tile_at = np.full((n_rows + 2, n_columns + 2), -1, dtype=np.int64)
        tile_at[cells[:, 0] + 1, cells[:, 1] + 1] = np.arange(len(cells))
        rows, columns = cells[tiles].T
        for row_step, column_step in product((0, 1, 2), repeat=2):
            neighbor = tile_at[rows + row_step, columns + column_step]
            present = neighbor >= 0
            sums[present] += embeddings[neighbor[present]]
            counts[present] += 1
        sums /= counts
    return np.concatenate([own, sums], axis=1)


@dataclass(frozen=True, eq=False)
class RidgeHead:
    """Principal components, then ridge regression with intercept, for all genes at once.

    Parameters
    ----------
    mean
        Mean feature vector of the training spots, shape ``(n_features,)``.
    components
        Principal directions, divided by the standard deviation along them, shape ``(n_components, n_features)``.
    coefficients
        Shape ``(n_components, n_genes)``.
    intercept
        Shape ``(n_genes,)``; the mean expression of the training spots.

    Raises
    ------
    ValueError
        If the shapes do not fit each other or a number is not finite.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    intercept: NDArray[np.float32]

    def __post_init__(self) -> None:
        shapes = [array.shape for array in (self.mean, self.components, self.coefficients, self.intercept)]
        if [len(shape) for shape in shapes] != [1, 2, 2, 1]:
            msg = f"mean, components, coefficients, intercept must have 1, 2, 2, 1 axes, not shapes {shapes}"
            raise ValueError(msg)
        n_components, n_features = self.components.shape
        if shapes != [(n_features,), (n_components, n_features), (n_components, self.n_genes), (self.n_genes,)]:
            msg = f"mean, components, coefficients and intercept do not fit each other: shapes {shapes}"
            raise ValueError(msg)
        if not all(
            np.isfinite(array).all() for array in (self.mean, self.components, self.coefficients, self.intercept)
        ):
            raise ValueError("the head holds a number that is not finite")

    @property
    def n_features(self) -> int:
        """Length of the feature vectors that it takes."""
        return int(self.components.shape[1])

    @property
    def n_genes(self) -> int:
        """Number of genes that it gives."""
        return int(self.coefficients.shape[1])

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predicted expression, shape ``(n_tiles, n_genes)``, of features, shape ``(n_tiles, n_features)``."""
        scores = (features - self.mean) @ self.components.T
        expression: NDArray[np.float32] = (scores @ self.coefficients + self.intercept).astype(np.float32)
        return expression
