"""What heads on principal components have in common, and how far their members disagree."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

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
class Head(ABC):
    """Turns features with context into relative expression: principal components, from which members predict.

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

    @property
    @abstractmethod
    def n_members(self) -> int:
        """Number of members."""

    @abstractmethod
    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Give what `vst_dicom.predict.head.parse_head` makes it from, by name."""

    @abstractmethod
    def express(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predicted expression, shape ``(n_tiles, n_genes)``, of scores, shape ``(n_tiles, n_components)``."""

    @abstractmethod
    def express_members(self, scores: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Give the prediction of each member, shape ``(n_tiles, n_genes)``, from scores."""

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predicted expression, shape ``(n_tiles, n_genes)``, of features, shape ``(n_tiles, n_features)``."""
        return self.express(self.scores(features))

    def spread(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give standard deviations over the members, shape ``(n_tiles, n_genes)``; NaN for fewer than two members."""
        return deviation(self.express_members(self.scores(features)), (len(features), self.n_genes))

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Principal components of features, shape ``(n_tiles, n_components)``."""
        scores: NDArray[np.float32] = ((features - self.mean) @ self.components.T).astype(np.float32, copy=False)
        return scores

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give what a tile adds to the scores of the tiles around it.

        Components and means over neighbors are both linear, so their order does not matter: the mean of what the
        tiles of each square add, summed over the squares, are the scores. A tile's many features are so gone as soon
        as they have passed.

        Parameters
        ----------
        embeddings
            The tiles' own features, shape ``(n_tiles, embed_dim)``.

        Returns
        -------
        NDArray[np.float32]
            Shape ``(n_tiles, n_features / embed_dim, n_components)``.

        Raises
        ------
        ValueError
            If the head does not take so many features.
        """
        embed_dim = embeddings.shape[1]
        if embed_dim == 0 or self.n_features % embed_dim:
            msg = f"a head of {self.n_features} features does not take tiles of {embed_dim}"
            raise ValueError(msg)
        blocks = zip(
            self.mean.reshape(-1, embed_dim),
            self.components.reshape(self.n_components, -1, embed_dim).transpose(1, 0, 2),
            strict=True,
        )
        parts = [(embeddings - mean) @ components.T for mean, components in blocks]
        return np.stack(parts, axis=1).astype(np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class MemberPredictions:
    """What each member of a head predicts for some tiles and genes, computed when it is looked at.

    Parameters
    ----------
    head
        Whose members.
    scores
        Principal components of the tiles, shape ``(n_tiles, n_components)``.
    columns
        Which genes, as columns of the head.
    """

    head: Head
    scores: NDArray[np.float32]
    columns: NDArray[np.int64]

    def __len__(self) -> int:
        return self.head.n_members

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Give the prediction of each member, shape ``(n_tiles, len(columns))``."""
        for prediction in self.head.express_members(self.scores):
            yield prediction[:, self.columns]

    def of_tiles(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "MemberPredictions":
        """Those of some tiles: a mask, or indices in the order that is wanted."""
        return replace(self, scores=self.scores[rows])

    def of_genes(self, columns: Sequence[int]) -> "MemberPredictions":
        """Those of some of these genes."""
        return replace(self, columns=self.columns[list(columns)])
