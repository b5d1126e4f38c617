"""How far a prediction may be trusted: is the tile like those of the training, and how wide is the interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import BundleError
from vst_dicom.predict.appearance import N_APPEARANCE

_TILES_AT_ONCE: Final = 4096
"""Tiles whose features are normalized in memory together."""

_FAMILIARITY: Final = ("appearance_mean", "appearance_map", "embedding_mean", "embedding_map")
_RESIDUAL: Final = "residual_sd"


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Tells tiles like those of the training from others.

    Two Mahalanobis distances, that of the appearance and that of the encoder's features (scaled to length 1), each
    divided by its limit.

    Parameters
    ----------
    appearance_mean
        Mean over the training tiles, shape ``(N_APPEARANCE,)``.
    appearance_map
        From deviations to axes of unit variance, over the limit, shape ``(N_APPEARANCE, N_APPEARANCE)``.
    embedding_mean, embedding_map
        The same for features, shapes ``(embed_dim,)`` and ``(embed_dim, n_components)``.

    Raises
    ------
    ValueError
        If shapes do not fit each other or a number is not finite.
    """

    appearance_mean: NDArray[np.floating]
    appearance_map: NDArray[np.floating]
    embedding_mean: NDArray[np.floating]
    embedding_map: NDArray[np.floating]

    def __post_init__(self) -> None:
        arrays = [getattr(self, name) for name in _FAMILIARITY]
        shapes = [array.shape for array in arrays]
        n_components = self.embedding_map.shape[-1] if self.embedding_map.ndim == 2 else 0
        embed_dim = self.embedding_mean.shape[0] if self.embedding_mean.ndim == 1 else 0
        if shapes != [(N_APPEARANCE,), (N_APPEARANCE, N_APPEARANCE), (embed_dim,), (embed_dim, n_components)]:
            msg = f"{', '.join(_FAMILIARITY)} do not fit each other: shapes {shapes}"
            raise ValueError(msg)
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("what tells unfamiliar tissue holds a number that is not finite")

    def distance(self, appearance: NDArray[np.float32], embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """How unlike the training tiles each tile is; above 1 it is unfamiliar.

        The root mean square of both distances: never above 1 where neither of them is.

        Parameters
        ----------
        appearance
            See `vst_dicom.predict.appearance.describe_appearance`, shape ``(n_tiles, N_APPEARANCE)``.
        embeddings
            The tiles' own features, shape ``(n_tiles, embed_dim)``.

        Returns
        -------
        NDArray[np.float32]
            Shape ``(n_tiles,)``.
        """
        both = self.distances(appearance, embeddings)
        joined: NDArray[np.float32] = np.sqrt((both**2).mean(axis=0)).astype(np.float32)
        return joined

    def distances(self, appearance: NDArray[np.float32], embeddings: NDArray[np.float32]) -> NDArray[np.floating]:
        """Give the distance by appearance and that by features, shape ``(2, n_tiles)``; parameters as of `distance`."""
        content = np.empty(len(embeddings), dtype=self.embedding_map.dtype)
        for start in range(0, len(embeddings), _TILES_AT_ONCE):
            tiles = slice(start, start + _TILES_AT_ONCE)
            offsets = (unit_length(embeddings[tiles]) - self.embedding_mean) @ self.embedding_map
            content[tiles] = np.linalg.norm(offsets, axis=1)
        looks = np.linalg.norm((appearance - self.appearance_mean) @ self.appearance_map, axis=1)
        return np.stack([looks, content])


@dataclass(frozen=True, eq=False)
class Intervals:
    """Makes intervals that hold measured values as often as stated.

    Parameters
    ----------
    residual_sd
        Root mean square error on held-out patients, shape ``(n_genes,)``.
    quantile
        Half width of an interval, in units of the tile's standard deviation: that of the residuals and that of the
        head's members together.

    Raises
    ------
    ValueError
        If a number is not finite, or negative.
    """

    residual_sd: NDArray[np.float32]
    quantile: float

    def __post_init__(self) -> None:
        if self.residual_sd.ndim != 1 or not np.isfinite(self.residual_sd).all() or (self.residual_sd < 0).any():
            raise ValueError("residual_sd must be one finite number per gene, none negative")

    def half_width(self, spread: NDArray[np.float32]) -> NDArray[np.float32]:
        """Half widths, shape ``(n_tiles, n_genes)``, from the members' standard deviations of the same shape.

        A spread that is NaN, as of a head with one member, counts as none.
        """
        return scale_of(spread, self.residual_sd) * np.float32(self.quantile)


def scale_of(spread: NDArray[np.float32], residual_sd: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the standard deviation of a prediction: members' spread and held-out residuals, as independent."""
    scale: NDArray[np.float32] = np.sqrt(np.nan_to_num(spread) ** 2 + residual_sd**2).astype(np.float32)
    return scale


def unit_length(embeddings: NDArray[np.floating]) -> NDArray[np.floating]:
    """Features scaled to length 1; those that are 0 stay so."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: NDArray[np.floating] = embeddings / np.maximum(lengths, 1e-12)
    return scaled


@dataclass(frozen=True, eq=False)
class Trust:
    """What a bundle knows about its own limits; None for each part that it has not.

    Parameters
    ----------
    familiarity
        Tells unfamiliar tissue.
    intervals
        Makes prediction intervals.
    """

    familiarity: Familiarity | None = None
    intervals: Intervals | None = None

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Give what `parse_trust` makes it from, by name."""
        found: dict[str, NDArray[np.float32]] = {}
        if self.familiarity is not None:
            found |= {name: getattr(self.familiarity, name) for name in _FAMILIARITY}
        if self.intervals is not None:
            found[_RESIDUAL] = self.intervals.residual_sd
        return {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in found.items()}


def parse_trust(
    tensors: Mapping[str, NDArray[np.float32]],
    *,
    n_components: int | None,
    quantile: float | None,
    embed_dim: int,
    n_genes: int,
) -> Trust:
    """Make the parts from what a bundle says.

    Parameters
    ----------
    tensors
        By name, as `Trust.tensors` gives them.
    n_components
        Axes of the encoder's features that tell unfamiliar tissue; None where the manifest has no such part.
    quantile
        Of the intervals; None where the manifest has no such part.
    embed_dim, n_genes
        Of encoder and head.

    Raises
    ------
    BundleError
        If a tensor is missing or unknown, or does not fit.
    """
    expected = (*(() if n_components is None else _FAMILIARITY), *(() if quantile is None else (_RESIDUAL,)))
    if sorted(tensors) != sorted(expected):
        msg = f"the trust file must hold {', '.join(expected)}, not {', '.join(sorted(tensors)) or 'nothing'}"
        raise BundleError(f"{msg}; get the bundle again")
    try:
        familiarity = None if n_components is None else Familiarity(*(tensors[name] for name in _FAMILIARITY))
        intervals = None if quantile is None else Intervals(tensors[_RESIDUAL], quantile)
    except ValueError as error:
        msg = f"the trust file is refused: {error}; get the bundle again"
        raise BundleError(msg) from error
    if familiarity is not None and familiarity.embedding_map.shape != (embed_dim, n_components):
        msg = f"the trust file has a map of shape {familiarity.embedding_map.shape}, not {(embed_dim, n_components)}"
        raise BundleError(f"{msg}; get the bundle again")
    if intervals is not None and len(intervals.residual_sd) != n_genes:
        msg = f"the trust file has {len(intervals.residual_sd)} genes, the manifest {n_genes}; get the bundle again"
        raise BundleError(msg)
    return Trust(familiarity, intervals)
