"""What heads on principal components have in common, and how far their members disagree."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def deviation(predictions: Iterable[NDArray[np.float32]], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Take the standard deviation over members, one at a time, so that only three arrays lie in memory.

    Parameters
    ----------
    predictions
        Of each member, shape ``(n_tiles, n_genes)``.
    shape
        ``(n_tiles, n_genes)``.

    Returns
    -------
    NDArray[np.float32]
        With ``n_members - 1`` in the denominator; NaN for fewer than two members, since then nothing is known.
    """
    mean = np.zeros(shape, dtype=np.float32)
    squares = np.zeros(shape, dtype=np.float32)
    n_members = 0
    for n_members, prediction in enumerate(predictions, start=1):
        step = prediction - mean
        mean += step / n_members
        squares += step * (prediction - mean)
    if n_members < 2:
        return np.full(shape, np.nan, dtype=np.float32)
    spread: NDArray[np.float32] = np.sqrt(squares / (n_members - 1))
    return spread


@dataclass(frozen=True, eq=False)
class ComponentHead(ABC):
    """Principal components of the features, from which members predict.

    Parameters
    ----------
    mean
        Mean feature vector of the training spots, shape ``(n_features,)``.
    components
        Principal directions, divided by the standard deviation along them, shape ``(n_components, n_features)``.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]

    @property
    def n_features(self) -> int:
        """Length of the feature vectors that it takes."""
        return int(self.components.shape[1])

    @property
    def n_components(self) -> int:
        """Number of principal components."""
        return len(self.components)

    @property
    @abstractmethod
    def n_genes(self) -> int:
        """Number of genes that it gives."""

    @abstractmethod
    def predictions(self, features: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Give the prediction of each member, shape ``(n_tiles, n_genes)``."""

    def spread(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give standard deviations over the members, shape ``(n_tiles, n_genes)``; NaN for fewer than two members."""
        return deviation(self.predictions(features), (len(features), self.n_genes))

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Principal components of features, shape ``(n_tiles, n_components)``."""
        scores: NDArray[np.float32] = ((features - self.mean) @ self.components.T).astype(np.float32, copy=False)
        return scores
