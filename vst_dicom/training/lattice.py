"""Spots in their plane: neighbors, spatial autocorrelation, and a null that keeps it.

Expression and predictions are both smooth over a section, so two maps that have nothing to do with each other agree
more often than independent spots would. A null for their agreement must therefore keep each map as smooth as it is:
the measured map is laid over the predicted one mirrored and shifted, wrapped at the edges of the section.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import KDTree

from vst_dicom.training.scores import FloatArray, pearson

IndexArray = NDArray[np.int64]

_NEIGHBOR_PITCHES: Final = 1.25
"""Spots at most this far apart are neighbors: four on a square lattice, six on a hexagonal one."""

_LEAST_SHIFT: Final = 0.25
"""A shift goes at least this part of the section's extent along x or y."""

_MEETING_PITCHES: Final = 0.75
"""Spots that come to lie closer than this to another one meet it; the farthest place in a lattice is at 0.71."""

_LEAST_OVERLAP: Final = 1 / 3
"""Least part of the spots that meet another spot after a shift; a shift with less is drawn again."""

_DRAWS_AT_MOST: Final = 20
"""Then the shift with the largest overlap is taken."""

_BLOCK_PITCHES: Final = 4
"""Side of the blocks that `blocks` cuts."""


def pitch(centers: FloatArray) -> float:
    """Distance between neighboring spots: the median distance to the nearest one; 1 where there is none."""
    if len(centers) < 2:
        return 1.0
    distances, _ = KDTree(centers).query(centers, k=2)
    return float(np.median(distances[:, 1])) or 1.0


def moran(values: NDArray[np.floating], centers: FloatArray) -> FloatArray:
    """Moran's I of each column over neighboring spots.

    Parameters
    ----------
    values
        Shape ``(n_spots, n_genes)``.
    centers
        x, y of the spots, shape ``(n_spots, 2)``.

    Returns
    -------
    FloatArray
        Shape ``(n_genes,)``; near 0 without spatial structure, near 1 for a smooth map; 0 where a column does not
        vary or no spot has a neighbor.
    """
    pairs = KDTree(centers).query_pairs(_NEIGHBOR_PITCHES * pitch(centers), output_type="ndarray")
    deviations = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    total = (deviations * deviations).sum(axis=0)
    varies = total > 1e-12 * len(values)
    if not len(pairs):
        return np.zeros(values.shape[1])
    neighbors = sparse.csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(values), len(values)))
    products = (deviations * (neighbors @ deviations)).sum(axis=0)
    index: FloatArray = np.where(varies, len(values) / len(pairs) * products / np.where(varies, total, 1), 0.0)
    return index


def shifts(centers: FloatArray, n_draws: int, random: np.random.Generator) -> Iterator[tuple[IndexArray, IndexArray]]:
    """Lay a section over itself, mirrored along x, y, both or neither, and shifted on a torus.

    Parameters
    ----------
    centers
        x, y of the spots, shape ``(n_spots, 2)``.
    n_draws, random
        How many, and from what.

    Yields
    ------
    tuple
        Indices of spots, and of the spots that came to lie on them, both of shape ``(n_meeting,)``.
    """
    tree, step = KDTree(centers), pitch(centers)
    corner = centers.min(axis=0)
    extent = centers.max(axis=0) - corner + step
    for _ in range(n_draws):
        largest: tuple[IndexArray, IndexArray] = (np.empty(0, np.int64), np.empty(0, np.int64))
        for _ in range(_DRAWS_AT_MOST):
            moved = _move(centers - corner, extent, step, random) + corner
            distances, nearest = tree.query(moved, distance_upper_bound=_MEETING_PITCHES * step)
            meeting = np.flatnonzero(np.isfinite(distances))
            if len(meeting) > len(largest[0]):
                largest = meeting, nearest[meeting].astype(np.int64)
            if len(meeting) >= _LEAST_OVERLAP * len(centers):
                break
        yield largest


def _move(offsets: FloatArray, extent: FloatArray, step: float, random: np.random.Generator) -> FloatArray:
    """Mirror and shift offsets from the corner of a torus."""
    mirrored = np.where(random.integers(0, 2, 2) == 1, extent - step - offsets, offsets)
    while True:
        shift = random.uniform(0, 1, 2)
        if np.minimum(shift, 1 - shift).max() >= _LEAST_SHIFT:
            whole_steps = np.rint(shift * extent / step) * step
            moved: FloatArray = (mirrored + whole_steps + step / 2) % extent - step / 2
            return moved


def null_correlations(
    pairs: "list[tuple[NDArray[np.floating], NDArray[np.floating]]]",
    centers: FloatArray,
    n_draws: int,
    random: np.random.Generator,
) -> list[NDArray[np.float32]]:
    """Correlations of predicted maps with measured ones that were laid over them at random.

    Parameters
    ----------
    pairs
        Predicted and measured maps, each of shape ``(n_spots, n_genes)``; all get the same shifts.
    centers
        x, y of the spots, shape ``(n_spots, 2)``.
    n_draws, random
        How many, and from what.

    Returns
    -------
    list[NDArray[np.float32]]
        For each pair, shape ``(n_draws, n_genes)``.
    """
    answers = [np.zeros((n_draws, predicted.shape[1]), dtype=np.float32) for predicted, _ in pairs]
    for draw, (places, sources) in enumerate(shifts(centers, n_draws, random)):
        if len(places) < 3:
            continue
        for answer, (predicted, measured) in zip(answers, pairs, strict=True):
            answer[draw] = pearson(predicted[places], measured[sources])
    return answers


def blocks(centers: FloatArray) -> IndexArray:
    """Cut a section into squares of `_BLOCK_PITCHES` pitches; the block of each spot, shape ``(n_spots,)``."""
    cells = ((centers - centers.min(axis=0)) // (_BLOCK_PITCHES * pitch(centers))).astype(np.int64)
    _, block = np.unique(cells, axis=0, return_inverse=True)
    return block.reshape(-1).astype(np.int64)


def sign_flip_p(sums: FloatArray, n_draws: int, random: np.random.Generator) -> float:
    """One-sided p that the total of some independent sums is above 0, by flipping their signs at random.

    Parameters
    ----------
    sums
        One per block, shape ``(n_blocks,)``.
    n_draws, random
        How many, and from what.
    """
    signs = random.choice([-1.0, 1.0], size=(n_draws, len(sums)))
    return float((1 + (signs @ sums >= sums.sum() - 1e-12).sum()) / (1 + n_draws))
