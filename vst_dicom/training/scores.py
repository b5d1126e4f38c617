"""Figures of agreement between predicted and measured expression, gene by gene."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def pearson(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> FloatArray:
    """Pearson correlation of each column.

    Parameters
    ----------
    predicted, measured
        Shape ``(n_spots, n_genes)``.

    Returns
    -------
    FloatArray
        Shape ``(n_genes,)``; 0 where either side does not vary, since then nothing was shown.
    """
    x = predicted.astype(np.float64) - predicted.mean(axis=0, dtype=np.float64)
    y = measured.astype(np.float64) - measured.mean(axis=0, dtype=np.float64)
    norm = np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    varies = norm > 1e-12 * len(x)
    correlation: FloatArray = np.where(varies, (x * y).sum(axis=0) / np.where(varies, norm, 1), 0.0)
    return correlation


def spearman(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> FloatArray:
    """Spearman correlation of each column; ties get their mean rank."""
    from scipy.stats import rankdata

    return pearson(rankdata(predicted, axis=0), rankdata(measured, axis=0))


def depth_adjusted_pearson(
    predicted: NDArray[np.floating], measured: NDArray[np.floating], total_counts: NDArray[np.floating]
) -> FloatArray:
    """Pearson correlation of each column after the logarithm of the spots' total counts is regressed out of both.

    Parameters
    ----------
    predicted, measured
        Shape ``(n_spots, n_genes)``.
    total_counts
        Shape ``(n_spots,)``, positive.
    """
    design = np.column_stack([np.ones(len(total_counts)), np.log(total_counts)])

    def residual(values: NDArray[np.floating]) -> FloatArray:
        coefficients, *_ = np.linalg.lstsq(design, values.astype(np.float64), rcond=None)
        remaining: FloatArray = values - design @ coefficients
        return remaining

    return pearson(residual(predicted), residual(measured))


def explained_variance(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> FloatArray:
    """R² of each column against the mean of `measured`; negative when the mean would do better, 0 without variance."""
    rest = ((measured - predicted) ** 2).sum(axis=0, dtype=np.float64)
    total = ((measured - measured.mean(axis=0)) ** 2).sum(axis=0, dtype=np.float64)
    varies = total > 1e-12 * len(measured)
    share: FloatArray = np.where(varies, 1 - rest / np.where(varies, total, 1), 0.0)
    return share


LEAST_UNITS_FOR_INTERVAL = 6
"""Fewest units that can speak at the 5 % level: six equal signs have a chance of 2 in 64."""


def bootstrap_interval(values: FloatArray, seed: int, n_draws: int = 2000) -> tuple[float, float] | None:
    """95 % interval of the mean over units such as patients, by drawing units with replacement.

    Parameters
    ----------
    values
        One per unit, shape ``(n_units,)``.
    seed, n_draws
        Of the draws.

    Returns
    -------
    tuple[float, float] or None
        None for fewer than `LEAST_UNITS_FOR_INTERVAL` units.
    """
    if len(values) < LEAST_UNITS_FOR_INTERVAL:
        return None
    draws = np.random.default_rng(seed).choice(values, size=(n_draws, len(values))).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)
