"""Figures of agreement between predicted and measured expression, gene by gene."""

from collections.abc import Callable

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
    correlation: FloatArray = correlation_shares(predicted, measured).sum(axis=0)
    return correlation


def correlation_shares(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> FloatArray:
    """Split the Pearson correlation of each column into what each spot adds to it, shape ``(n_spots, n_genes)``."""
    x = predicted.astype(np.float64) - predicted.mean(axis=0, dtype=np.float64)
    y = measured.astype(np.float64) - measured.mean(axis=0, dtype=np.float64)
    norm = np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    varies = norm > 1e-12 * len(x)
    shares: FloatArray = np.where(varies, x * y / np.where(varies, norm, 1), 0.0)
    return shares


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
    return pearson(without_depth(predicted, total_counts), without_depth(measured, total_counts))


def without_depth(values: NDArray[np.floating], total_counts: NDArray[np.floating]) -> FloatArray:
    """Give what is left of each column after regression on the logarithm of the total counts, same shape."""
    design = np.column_stack([np.ones(len(total_counts)), np.log(total_counts)])
    coefficients, *_ = np.linalg.lstsq(design, values.astype(np.float64), rcond=None)
    remaining: FloatArray = values - design @ coefficients
    return remaining


def explained_variance(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> FloatArray:
    """R² of each column against the mean of `measured`; negative when the mean would do better, 0 without variance."""
    rest = ((measured - predicted) ** 2).sum(axis=0, dtype=np.float64)
    total = ((measured - measured.mean(axis=0)) ** 2).sum(axis=0, dtype=np.float64)
    varies = total > 1e-12 * len(measured)
    share: FloatArray = np.where(varies, 1 - rest / np.where(varies, total, 1), 0.0)
    return share


def mean_absolute_error(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> FloatArray:
    """Mean distance of each column, in the unit of the values."""
    error: FloatArray = np.abs(predicted - measured).mean(axis=0, dtype=np.float64)
    return error


def calibration_slope(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> FloatArray:
    """Slope of the regression of measured on predicted, column by column.

    1 means that a predicted difference is met by an equal measured one; below 1 predictions are too far apart, above
    1 too close together. 0 where predictions do not vary.
    """
    x = predicted.astype(np.float64) - predicted.mean(axis=0, dtype=np.float64)
    y = measured.astype(np.float64) - measured.mean(axis=0, dtype=np.float64)
    total = (x * x).sum(axis=0)
    varies = total > 1e-12 * len(x)
    slope: FloatArray = np.where(varies, (x * y).sum(axis=0) / np.where(varies, total, 1), 0.0)
    return slope


LEAST_UNITS_FOR_INTERVAL = 6
"""Fewest units that can speak at the 5 % level: six equal signs have a chance of 2 in 64."""

_NUMBERS_AT_ONCE = 8_000_000
"""Keeps the drawn values below 64 MB."""


def bootstrap_medians(values: FloatArray, seed: int, n_draws: int = 2000) -> tuple[FloatArray, FloatArray] | None:
    """95 % interval of the median over units such as patients; None for fewer than `LEAST_UNITS_FOR_INTERVAL`.

    Parameters and form of the answer are those of `bootstrap_interval`.
    """
    if len(values) < LEAST_UNITS_FOR_INTERVAL:
        return None
    return bootstrap_interval(values, np.median, seed, n_draws)


def bootstrap_interval(
    values: FloatArray, statistic: Callable[..., FloatArray], seed: int, n_draws: int = 2000
) -> tuple[FloatArray, FloatArray]:
    """95 % interval of a statistic over units, by drawing units with replacement (percentile method).

    Parameters
    ----------
    values
        Shape ``(n_units, n_genes)``.
    statistic
        Such as ``numpy.median``, called with an array and ``axis``.
    seed, n_draws
        Of the draws; every gene gets the same ones.

    Returns
    -------
    tuple[FloatArray, FloatArray]
        Lower and upper ends, each of shape ``(n_genes,)``.
    """
    drawn = np.random.default_rng(seed).integers(0, len(values), (n_draws, len(values)))
    at_once = max(1, _NUMBERS_AT_ONCE // drawn.size)
    ends = [
        np.percentile(statistic(values[:, start : start + at_once][drawn], axis=1), [2.5, 97.5], axis=0)
        for start in range(0, values.shape[1], at_once)
    ]
    low, high = np.concatenate(ends, axis=1)
    return low, high


def permutation_p(observed: FloatArray, null: NDArray[np.floating]) -> FloatArray:
    """One-sided p of each column: how often the null reaches what was observed, the observation itself counted.

    Parameters
    ----------
    observed
        Shape ``(n_genes,)``.
    null
        Shape ``(n_draws, n_genes)``.
    """
    p: FloatArray = (1 + (null >= observed).sum(axis=0)) / (1 + len(null))
    return p


def false_discovery_rate(p: FloatArray) -> FloatArray:
    """Adjust p after Benjamini and Hochberg (1995), shape ``(n_genes,)``."""
    order = np.argsort(p)[::-1]
    scaled = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum.accumulate(np.minimum(scaled, 1.0))
    return adjusted
