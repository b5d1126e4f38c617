"""From a tile's own features to what kind of tissue it looks like."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import BundleError
from vst_dicom.domain.tissue import TISSUE_CLASSES

_TENSORS: Final = ("mean", "components", "coefficients", "intercept")


@dataclass(frozen=True, eq=False)
class TissueHead:
    """Principal components, then a linear classifier with softmax.

    Parameters
    ----------
    classes
        Index into `vst_dicom.domain.tissue.TISSUE_CLASSES` of each class that the classifier knows, growing.
    mean
        Mean of the own features of the training spots, shape ``(embed_dim,)``.
    components
        Principal directions, divided by the standard deviation along them, shape ``(n_components, embed_dim)``.
    coefficients
        Shape ``(n_components, n_classes)``.
    intercept
        Shape ``(n_classes,)``.

    Raises
    ------
    ValueError
        If fewer than two classes are known, one of them is not a class, shapes do not fit each other, or a number is
        not finite.
    """

    classes: tuple[int, ...]
    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    intercept: NDArray[np.float32]

    def __post_init__(self) -> None:
        known = range(len(TISSUE_CLASSES))
        if len(self.classes) < 2 or list(self.classes) != [index for index in known if index in self.classes]:
            msg = f"classes must be two or more growing indices below {len(TISSUE_CLASSES)}, not {self.classes}"
            raise ValueError(msg)
        arrays = (self.mean, self.components, self.coefficients, self.intercept)
        n_components, n_classes = len(self.components), len(self.classes)
        wanted = [self.mean.shape[:1], (n_components, *self.mean.shape), (n_components, n_classes), (n_classes,)]
        if [array.shape for array in arrays] != wanted:
            msg = f"{', '.join(_TENSORS)} do not fit each other: shapes {[array.shape for array in arrays]}"
            raise ValueError(msg)
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("the tissue classifier holds a number that is not finite")

    def probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """How well each class fits, as softmax, shape ``(n_tiles, len(TISSUE_CLASSES))``; 0 for an unknown class.

        Parameters
        ----------
        embeddings
            Own features of the tiles, shape ``(n_tiles, embed_dim)``.
        """
        logits = (embeddings - self.mean) @ self.components.T @ self.coefficients + self.intercept
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        spread_out = np.zeros((len(embeddings), len(TISSUE_CLASSES)), dtype=np.float32)
        spread_out[:, list(self.classes)] = exponents / exponents.sum(axis=1, keepdims=True)
        return spread_out

    def apply(self, embeddings: NDArray[np.float32]) -> NDArray[np.int8]:
        """Take the class that fits best, index into `TISSUE_CLASSES`, shape ``(n_tiles,)``."""
        return np.asarray(self.probabilities(embeddings).argmax(axis=1), dtype=np.int8)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Give what `parse_tissue_head` makes it from."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in _TENSORS}


def parse_tissue_head(
    class_names: tuple[str, ...], embed_dim: int, tensors: Mapping[str, NDArray[np.float32]]
) -> TissueHead:
    """Make a classifier from what a bundle says.

    Parameters
    ----------
    class_names
        As in `TISSUE_CLASSES`.
    embed_dim
        Length of the encoder's features.
    tensors
        By name, as `TissueHead.tensors` gives them.

    Raises
    ------
    BundleError
        If a tensor is missing or unknown, or does not fit.
    """
    if sorted(tensors) != sorted(_TENSORS):
        msg = f"the tissue classifier must hold {', '.join(_TENSORS)}, not {', '.join(sorted(tensors)) or 'nothing'}"
        raise BundleError(f"{msg}; get the bundle again")
    try:
        head = TissueHead(tuple(TISSUE_CLASSES.index(name) for name in class_names), **tensors)
    except ValueError as error:
        msg = f"the tissue classifier is refused: {error}; get the bundle again"
        raise BundleError(msg) from error
    if len(head.mean) != embed_dim:
        msg = f"the tissue classifier reads {len(head.mean)} features, the encoder gives {embed_dim}"
        raise BundleError(f"{msg}; get the bundle again")
    return head
