"""From features of tiles to expression: the context of a tile, and what every head can do."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import BundleError
from vst_dicom.predict.manifest_model import HeadForm, RidgeForm
from vst_dicom.predict.mlp_head import MlpHead
from vst_dicom.predict.ridge_head import RidgeHead


class Head(Protocol):
    """Turns features with context into relative expression."""

    @property
    def n_features(self) -> int:
        """Length of the feature vectors that it takes."""

    @property
    def n_components(self) -> int:
        """Number of principal components."""

    @property
    def n_genes(self) -> int:
        """Number of genes that it gives."""

    @property
    def n_members(self) -> int:
        """Number of members whose disagreement is the spread."""

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predicted expression, shape ``(n_tiles, n_genes)``, of features, shape ``(n_tiles, n_features)``."""

    def spread(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give standard deviations over the members, shape ``(n_tiles, n_genes)``; NaN for fewer than two members."""

    def predictions(self, features: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Give the prediction of each member, shape ``(n_tiles, n_genes)``."""

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Give what `parse_head` makes it from, by name."""


_RIDGE_TENSORS: Final = ("mean", "components", "coefficients", "intercept")
_MEMBERS: Final = "member_coefficients"
_MLP_TENSORS: Final = ("mean", "components", "hidden_weights", "hidden_bias", "weights", "bias")


def parse_head(form: HeadForm, tensors: Mapping[str, NDArray[np.float32]]) -> Head:
    """Make a head of the form that the manifest states.

    Parameters
    ----------
    form
        What the manifest says.
    tensors
        By name, as `Head.tensors` gives them.

    Raises
    ------
    BundleError
        If a tensor is missing or unknown, shapes do not fit each other or the form, or a number is not finite.
    """
    if isinstance(form, RidgeForm):
        expected: tuple[str, ...] = _RIDGE_TENSORS if form.n_members == 0 else (*_RIDGE_TENSORS, _MEMBERS)
    else:
        expected = _MLP_TENSORS
    if sorted(tensors) != sorted(expected):
        msg = (
            f"the head must hold {', '.join(expected)}, not {', '.join(sorted(tensors)) or 'nothing'}; "
            "get the bundle again"
        )
        raise BundleError(msg)
    try:
        head: Head = RidgeHead(**tensors) if isinstance(form, RidgeForm) else MlpHead(**tensors)
    except ValueError as error:
        msg = f"the head is refused: {error}; get the bundle again"
        raise BundleError(msg) from error
    found = (head.n_components, head.n_members)
    if found != (form.n_components, form.n_members):
        msg = (
            f"the head has {found[0]} components and {found[1]} members, the manifest says {form.n_components} and "
            f"{form.n_members}; get the bundle again"
        )
        raise BundleError(msg)
    return head


def with_context(
    embeddings: NDArray[np.float32],
    cells: NDArray[np.int32],
    tiles: slice = slice(None),
    context: tuple[int, ...] = (1, 3, 5),
) -> NDArray[np.float32]:
    """Put the mean features of wider and wider neighborhoods of a tile beside each other.

    A mean goes over those cells of the square that have a tile, the tile itself included; cells without tissue have
    none and do not count. Training and prediction both use this function.

    Parameters
    ----------
    embeddings
        Shape ``(n_tiles, embed_dim)``.
    cells
        Grid row and column of each tile, shape ``(n_tiles, 2)``, from 0, no cell twice.
    tiles
        Which tiles to answer for, so that a large slide can be worked on piece by piece.
    context
        Sides of the squares in tiles, odd and growing; 1 is the tile itself.

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
    if not context or any(side % 2 == 0 or side < 1 for side in context) or list(context) != sorted(set(context)):
        msg = f"context must be growing odd sides, not {context}"
        raise ValueError(msg)
    n_tiles = len(embeddings[tiles])
    if n_tiles == 0:
        return np.empty((0, len(context) * embeddings.shape[1]), dtype=np.float32)
    reach = context[-1] // 2
    n_rows, n_columns = cells.max(axis=0) + 1
    tile_at = np.full((n_rows + 2 * reach, n_columns + 2 * reach), -1, dtype=np.int64)
    tile_at[cells[:, 0] + reach, cells[:, 1] + reach] = np.arange(len(cells))
    rows, columns = cells[tiles].T + reach

    sums = np.zeros((n_tiles, embeddings.shape[1]), dtype=np.float32)
    counts = np.zeros((n_tiles, 1), dtype=np.float32)
    blocks = []
    reached = -1
    for side in context:
        if side == 1:
            blocks.append(embeddings[tiles])
            continue
        for row_step, column_step in _steps(reached, side // 2):
            neighbor = tile_at[rows + row_step, columns + column_step]
            present = neighbor >= 0
            sums[present] += embeddings[neighbor[present]]
            counts[present] += 1
        blocks.append(sums / counts)
        reached = side // 2
    return np.concatenate(blocks, axis=1)


def _steps(reached: int, reach: int) -> list[tuple[int, int]]:
    """Row and column steps to the cells within `reach` but not within `reached`; -1 has reached none."""
    steps = range(-reach, reach + 1)
    return [(row, column) for row, column in product(steps, repeat=2) if max(abs(row), abs(column)) > reached]
