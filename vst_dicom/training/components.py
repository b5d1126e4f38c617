"""Training spots in terms of the principal components of their features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vst_dicom.training.features import SectionSpots
from vst_dicom.training.scores import FloatArray


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Training spots, centered within their sections, and their principal components.

    A spot weighs as the square root of its counts: the noise of counting falls with their number, what the tissue
    itself varies does not. Weights are 1 on average within each section, so that a deeply sequenced section weighs no
    more than another. All means, variances and directions here are weighted.

    Parameters
    ----------
    mean
        Mean feature vector, shape ``(n_features,)``.
    block_scale
        Factor of each feature: the tile and each square around it get the same total variance, shape
        ``(n_features,)``.
    directions
        Unit vectors by falling variance, shape ``(n_components, n_features)``.
    variances
        Shape ``(n_components,)``.
    intercept
        Mean expression, shape ``(n_genes,)``.
    scores
        Along the directions, shape ``(n_spots, n_components)``.
    expression
        Shape ``(n_spots, n_genes)``.
    weights
        Shape ``(n_spots,)``.
    bounds
        Where each section begins and the last ends, shape ``(n_sections + 1,)``.
    """

    mean: FloatArray
    block_scale: FloatArray
    directions: FloatArray
    variances: FloatArray
    intercept: FloatArray
    scores: FloatArray
    expression: FloatArray
    weights: FloatArray
    bounds: NDArray[np.int64]

    def project(self, features: NDArray[np.floating]) -> FloatArray:
        """Scores of other spots, shape ``(n, n_components)``."""
        scores: FloatArray = ((features - self.mean) * self.block_scale) @ self.directions.T
        return scores


def decompose(sections: Sequence[SectionSpots], n_components: int) -> Decomposition:
    """Find the components by an exact eigendecomposition, so that the same spots always give the same answer."""
    spot_weights = [np.sqrt(section.total_counts) / np.sqrt(section.total_counts).mean() for section in sections]
    mean = np.mean([_mean(s.features, w) for s, w in zip(sections, spot_weights, strict=True)], axis=0)
    intercept = np.mean([_mean(s.expression, w) for s, w in zip(sections, spot_weights, strict=True)], axis=0)
    features = np.concatenate([s.features - _mean(s.features, w) for s, w in zip(sections, spot_weights, strict=True)])
    expression = np.concatenate(
        [s.expression - _mean(s.expression, w) for s, w in zip(sections, spot_weights, strict=True)]
    )
    weights = np.concatenate(spot_weights)
    block_scale = _balance(features, weights, len(sections[0].context))
    features *= block_scale

    weighted = features * np.sqrt(weights)[:, None]
    wide = len(weighted) <= weighted.shape[1]
    values, vectors = np.linalg.eigh(weighted @ weighted.T if wide else weighted.T @ weighted)
    order = np.argsort(values)[::-1][:n_components]
    order = order[values[order] > 1e-9 * max(float(values.max()), 1e-30)]
    directions = vectors.T[order] @ weighted if wide else vectors.T[order]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(len(directions)), largest])[:, None]
    return Decomposition(
        mean=mean,
        block_scale=block_scale,
        directions=directions,
        variances=values[order] / len(features),
        intercept=intercept,
        scores=features @ directions.T,
        expression=expression,
        weights=weights,
        bounds=np.cumsum([0, *(len(section.features) for section in sections)]),
    )


def _mean(values: NDArray[np.floating], weights: FloatArray) -> FloatArray:
    mean: FloatArray = weights @ values.astype(np.float64) / len(weights)
    return mean


def _balance(features: FloatArray, weights: FloatArray, n_blocks: int) -> FloatArray:
    """Factors that give each block the total variance of the first, shape ``(n_features,)``."""
    totals = [float(block.sum()) for block in np.split(weights @ (features * features), n_blocks)]
    scales = [np.sqrt(totals[0] / max(total, 1e-12)) if totals[0] else 1.0 for total in totals]
    return np.repeat(scales, features.shape[1] // n_blocks)
