"""Fit ridge regression of all genes at once on the components, and keep only its strongest programs."""

import numpy as np

from vst_dicom.predict.ridge_head import RidgeHead
from vst_dicom.training.components import Decomposition
from vst_dicom.training.scores import FloatArray


def regress(parts: Decomposition, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Coefficients of the components, shape ``(n_components, n_genes)``, and programs, unit vectors over genes.

    The components are uncorrelated over the training spots, so each shrinks by itself, by
    ``variance / (variance + alpha * mean variance)``. The programs are the principal components, over genes, of the
    fitted expression.
    """
    covariance = parts.scores.T @ (parts.weights[:, None] * parts.expression) / len(parts.scores)
    coefficients = covariance / (parts.variances + alpha * parts.variances.mean())[:, None]
    return coefficients, _programs(np.sqrt(parts.variances)[:, None] * coefficients)


def fit_ridge(parts: Decomposition, alpha: float, rank: int, n_members: int = 0, seed: int = 0) -> RidgeHead:
    """Fit a head.

    Parameters
    ----------
    parts
        Training spots.
    alpha
        Penalty, in units of the mean variance of a component.
    rank
        Programs to keep.
    n_members, seed
        How many members to fit on resampled spots, and the seed of their draws.
    """
    coefficients, programs = regress(parts, alpha)
    scale = np.sqrt(parts.variances)[:, None]
    random = np.random.default_rng(seed)
    members = [scale * _regress_resampled(parts, alpha, rank, random) for _ in range(n_members)]
    return RidgeHead(
        mean=parts.mean.astype(np.float32),
        components=(parts.directions * parts.block_scale / scale).astype(np.float32),
        coefficients=(scale * (coefficients @ programs[:rank].T @ programs[:rank])).astype(np.float32),
        intercept=parts.intercept.astype(np.float32),
        member_coefficients=np.array(members, dtype=np.float32).reshape(n_members, *coefficients.shape),
    )


def _regress_resampled(parts: Decomposition, alpha: float, rank: int, random: np.random.Generator) -> FloatArray:
    """Coefficients, shape ``(n_components, n_genes)``, from sections drawn with replacement and spots within them.

    What changes from section to section then shows in the members, beside what changes from spot to spot.
    """
    n_sections = len(parts.bounds) - 1
    spots = np.concatenate(
        [
            random.integers(parts.bounds[drawn], parts.bounds[drawn + 1], parts.bounds[drawn + 1] - parts.bounds[drawn])
            for drawn in random.integers(0, n_sections, n_sections)
        ]
    )
    scores, weights = parts.scores[spots], parts.weights[spots, None]
    penalty = alpha * parts.variances.mean() * np.eye(scores.shape[1])
    coefficients = np.linalg.solve(
        scores.T @ (weights * scores) / len(spots) + penalty,
        scores.T @ (weights * parts.expression[spots]) / len(spots),
    )
    strongest = _programs(np.sqrt(weights) * (scores @ coefficients))[:rank]
    answer: FloatArray = coefficients @ strongest.T @ strongest
    return answer


def _programs(fitted: FloatArray) -> FloatArray:
    """Principal components over genes, strongest first, shape ``(n_genes, n_genes)``."""
    strengths, programs = np.linalg.eigh(fitted.T @ fitted)
    ordered: FloatArray = programs[:, np.argsort(strengths)[::-1]].T
    return ordered
