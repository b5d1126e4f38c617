"""Everything that is measured on one held-out section, gene by gene."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.training.features import SectionSpots
from vst_dicom.training.lattice import blocks, moran, null_correlations
from vst_dicom.training.scores import (
    FloatArray,
    calibration_slope,
    correlation_shares,
    explained_variance,
    mean_absolute_error,
    pearson,
    spearman,
    without_depth,
)

N_DRAWS: Final = 999
"""Maps of the null per section; the smallest p is then 0.001."""


@dataclass(frozen=True, eq=False)
class Figures:
    """Agreement of predictions with a held-out section, or the mean over several; arrays have shape ``(n_genes,)``.

    Parameters
    ----------
    r, depth_adjusted_r, rank_r, r2
        Pearson, the same with log total counts partialled out of both sides, Spearman, explained variance.
    mae, slope
        Mean absolute error in ln(1 + CP10k); slope of measured on predicted.
    moran_predicted, moran_measured
        Moran's I over neighboring spots.
    baselines, depth_adjusted_baselines
        `r` and `depth_adjusted_r` of each baseline.
    null_r, null_depth_adjusted_r
        `r` and `depth_adjusted_r` against maps laid over at random, shape ``(n_draws, n_genes)``.
    gains
        Per baseline, the lead of the predictions over it in depth-adjusted r, mean over genes, split up over blocks
        of the section that are taken as independent, shape ``(n_blocks,)``; the sum is the lead.
    """

    r: FloatArray
    depth_adjusted_r: FloatArray
    rank_r: FloatArray
    r2: FloatArray
    mae: FloatArray
    slope: FloatArray
    moran_predicted: FloatArray
    moran_measured: FloatArray
    baselines: dict[str, FloatArray]
    depth_adjusted_baselines: dict[str, FloatArray]
    null_r: NDArray[np.float32]
    null_depth_adjusted_r: NDArray[np.float32]
    gains: dict[str, FloatArray]


def measure(
    section: SectionSpots,
    predicted: NDArray[np.floating],
    baselines: Mapping[str, NDArray[np.floating]],
    n_draws: int,
    seed: int,
) -> Figures:
    """Compare predictions and baselines with what was measured.

    Parameters
    ----------
    section
        Held-out spots.
    predicted, baselines
        For these spots, each of shape ``(n_spots, n_genes)``.
    n_draws, seed
        Of the null; 0 for none.
    """
    measured = section.expression
    left_predicted, left_measured = (without_depth(values, section.total_counts) for values in (predicted, measured))
    left_baselines = {name: without_depth(values, section.total_counts) for name, values in baselines.items()}
    null_r, null_depth_adjusted_r = null_correlations(
        [(predicted, measured), (left_predicted, left_measured)],
        section.centers_px,
        n_draws,
        np.random.default_rng([seed, *section.section_id.encode()]),
    )
    block = blocks(section.centers_px)
    share = correlation_shares(left_predicted, left_measured).mean(axis=1)
    return Figures(
        r=pearson(predicted, measured),
        depth_adjusted_r=pearson(left_predicted, left_measured),
        rank_r=spearman(predicted, measured),
        r2=explained_variance(predicted, measured),
        mae=mean_absolute_error(predicted, measured),
        slope=calibration_slope(predicted, measured),
        moran_predicted=moran(predicted, section.centers_px),
        moran_measured=moran(measured, section.centers_px),
        baselines={name: pearson(values, measured) for name, values in baselines.items()},
        depth_adjusted_baselines={name: pearson(values, left_measured) for name, values in left_baselines.items()},
        null_r=null_r,
        null_depth_adjusted_r=null_depth_adjusted_r,
        gains={
            name: np.bincount(block, share - correlation_shares(values, left_measured).mean(axis=1)).astype(np.float64)
            for name, values in left_baselines.items()
        },
    )  # fmt: skip


def average(figures: Sequence[Figures]) -> Figures:
    """Mean over sections; gains stay apart, each divided by the number of sections."""

    def mean(arrays: Iterable[NDArray[np.floating]]) -> FloatArray:
        averaged: FloatArray = np.mean(list(arrays), axis=0, dtype=np.float64)
        return averaged

    names = list(figures[0].baselines)
    return Figures(
        r=mean(one.r for one in figures),
        depth_adjusted_r=mean(one.depth_adjusted_r for one in figures),
        rank_r=mean(one.rank_r for one in figures),
        r2=mean(one.r2 for one in figures),
        mae=mean(one.mae for one in figures),
        slope=mean(one.slope for one in figures),
        moran_predicted=mean(one.moran_predicted for one in figures),
        moran_measured=mean(one.moran_measured for one in figures),
        baselines={name: mean(one.baselines[name] for one in figures) for name in names},
        depth_adjusted_baselines={name: mean(one.depth_adjusted_baselines[name] for one in figures) for name in names},
        null_r=mean(one.null_r for one in figures).astype(np.float32),
        null_depth_adjusted_r=mean(one.null_depth_adjusted_r for one in figures).astype(np.float32),
        gains={name: np.concatenate([one.gains[name] for one in figures]) / len(figures) for name in names},
    )
