"""Principal components, then a small network with one hidden layer; several members, whose mean is the answer."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vst_dicom.predict.members import Head


@dataclass(frozen=True, eq=False)
class MlpHead(Head):
    """Members that share the components and differ by their draws; plain arithmetic, no torch.

    Parameters
    ----------
    mean, components
        See `vst_dicom.predict.members.Head`.
    hidden_weights, hidden_bias
        To the hidden layer, shapes ``(n_members, n_components, n_hidden)`` and ``(n_members, n_hidden)``; negative
        values become 0 there.
    weights, bias
        To the genes, shapes ``(n_members, n_hidden, n_genes)`` and ``(n_members, n_genes)``.

    Raises
    ------
    ValueError
        If the shapes do not fit each other or a number is not finite.
    """

    hidden_weights: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __post_init__(self) -> None:
        arrays = (self.mean, self.components, self.hidden_weights, self.hidden_bias, self.weights, self.bias)
        shapes = [array.shape for array in arrays]
        names = "mean, components, hidden_weights, hidden_bias, weights, bias"
        if [len(shape) for shape in shapes] != [1, 2, 3, 2, 3, 2]:
            msg = f"{names} must have 1, 2, 3, 2, 3, 2 axes, not shapes {shapes}"
            raise ValueError(msg)
        k, n_features = self.components.shape
        m, h, g = self.weights.shape
        if m < 1 or shapes != [(n_features,), (k, n_features), (m, k, h), (m, h), (m, h, g), (m, g)]:
            msg = f"{names} do not fit each other: shapes {shapes}"
            raise ValueError(msg)
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("the head holds a number that is not finite")

    @property
    def n_genes(self) -> int:
        """Number of genes that it gives."""
        return int(self.weights.shape[2])

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.weights)

    def express(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean over the members, shape ``(n_tiles, n_genes)``, of scores, shape ``(n_tiles, n_components)``."""
        expression = np.zeros((len(scores), self.n_genes), dtype=np.float32)
        for prediction in self.express_members(scores):
            expression += prediction
        expression /= self.n_members
        return expression

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Give what `vst_dicom.predict.head.parse_head` makes it from."""
        tensors = {
            "mean": self.mean,
            "components": self.components,
            "hidden_weights": self.hidden_weights,
            "hidden_bias": self.hidden_bias,
            "weights": self.weights,
            "bias": self.bias,
        }
        return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}

    def express_members(self, scores: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Give the prediction of each member, shape ``(n_tiles, n_genes)``, from scores."""
        layers = zip(self.hidden_weights, self.hidden_bias, self.weights, self.bias, strict=True)
        for hidden_weights, hidden_bias, weights, bias in layers:
            hidden = np.maximum(scores @ hidden_weights + hidden_bias, 0)
            yield (hidden @ weights + bias).astype(np.float32)
