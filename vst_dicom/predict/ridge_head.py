"""Principal components, then ridge regression with intercept, for all genes at once."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vst_dicom.predict.members import Head


def _no_members() -> NDArray[np.float32]:
    return np.zeros((0, 0, 0), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class RidgeHead(Head):
    """Regression on all training spots, and members fitted on resampled ones, that say how sure it is.

    Parameters
    ----------
    mean, components
        See `vst_dicom.predict.members.Head`.
    coefficients
        Shape ``(n_components, n_genes)``.
    intercept
        Shape ``(n_genes,)``; the mean expression of the training spots.
    member_coefficients
        Of the members, which share the components and the intercept, shape ``(n_members, n_components, n_genes)``;
        empty where there are none.

    Raises
    ------
    ValueError
        If the shapes do not fit each other or a number is not finite.
    """

    coefficients: NDArray[np.float32]
    intercept: NDArray[np.float32]
    member_coefficients: NDArray[np.float32] = field(default_factory=_no_members)

    def __post_init__(self) -> None:
        arrays = (self.mean, self.components, self.coefficients, self.intercept)
        shapes = [array.shape for array in arrays]
        if [len(shape) for shape in shapes] != [1, 2, 2, 1]:
            msg = f"mean, components, coefficients, intercept must have 1, 2, 2, 1 axes, not shapes {shapes}"
            raise ValueError(msg)
        n_components, n_features = self.components.shape
        if shapes != [(n_features,), (n_components, n_features), (n_components, self.n_genes), (self.n_genes,)]:
            msg = f"mean, components, coefficients and intercept do not fit each other: shapes {shapes}"
            raise ValueError(msg)
        members = self.member_coefficients
        if members.ndim != 3 or (len(members) and members.shape[1:] != self.coefficients.shape):
            msg = (
                f"member_coefficients must have shape (n_members, {n_components}, {self.n_genes}), not {members.shape}"
            )
            raise ValueError(msg)
        if not all(np.isfinite(array).all() for array in (*arrays, members)):
            raise ValueError("the head holds a number that is not finite")

    @property
    def n_genes(self) -> int:
        """Number of genes that it gives."""
        return int(self.coefficients.shape[1])

    @property
    def n_members(self) -> int:
        """Number of members; 0 for a head that cannot say how sure it is."""
        return len(self.member_coefficients)

    def express(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predicted expression, shape ``(n_tiles, n_genes)``, of scores, shape ``(n_tiles, n_components)``."""
        expression: NDArray[np.float32] = (scores @ self.coefficients + self.intercept).astype(np.float32, copy=False)
        return expression

    def express_members(self, scores: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Give the prediction of each member, shape ``(n_tiles, n_genes)``, from scores."""
        for member in self.member_coefficients:
            yield (scores @ member + self.intercept).astype(np.float32, copy=False)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Give what `vst_dicom.predict.head.parse_head` makes it from."""
        tensors = {
            "mean": self.mean,
            "components": self.components,
            "coefficients": self.coefficients,
            "intercept": self.intercept,
        }
        if self.n_members:
            tensors["member_coefficients"] = self.member_coefficients
        return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
