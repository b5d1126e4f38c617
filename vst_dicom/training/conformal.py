"""Prediction intervals that hold on new patients, as far as the number of patients allows.

Split-conformal calibration with the patient as the exchangeable unit. Spots of a patient share the patient's offset (of
biology, stain, depth of sequencing), so a thousand spots of one patient say little about the next one: residuals are
absolute, never centered within a section, and every patient weighs the same however many spots it has. Whatever the
method, k patients cannot promise a new one a coverage above k / (k + 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from vst_dicom.predict.manifest_evidence import Uncertainty
from vst_dicom.predict.trust import Intervals, scale_of
from vst_dicom.training.evaluate import FoldScore, Protocol
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.scores import FloatArray

COVERAGE: Final = 0.9

_LEAST_SD: Final = 1e-3
"""A gene that never varies still gets an interval, in the unit of the target."""


@dataclass(frozen=True, eq=False)
class HeldOutUnit:
    """Predictions for a patient, or a section, that the head had not seen.

    Parameters
    ----------
    name
        Patient or section.
    measured, predicted
        Expression, shape ``(n_spots, n_genes)``.
    spread
        Standard deviation over the members of the head, same shape; NaN counts as none.
    """

    name: str
    measured: NDArray[np.float32]
    predicted: NDArray[np.float32]
    spread: NDArray[np.float32]

    @property
    def squared_error(self) -> FloatArray:
        """Mean squared error of each gene, shape ``(n_genes,)``."""
        error: FloatArray = ((self.measured - self.predicted) ** 2).mean(axis=0, dtype=np.float64)
        return error

    def scores(self, residual_sd: NDArray[np.floating]) -> NDArray[np.float32]:
        """Absolute residuals in standard deviations of the tile, shape ``(n_spots, n_genes)``."""
        scale = scale_of(self.spread, residual_sd.astype(np.float32))
        normalized: NDArray[np.float32] = np.abs(self.measured - self.predicted) / scale
        return normalized

    def covered(self, intervals: Intervals) -> FloatArray:
        """Part of the spots whose measured value lies in the interval, shape ``(n_genes,)``."""
        share: FloatArray = (self.scores(intervals.residual_sd) <= intervals.quantile).mean(axis=0)
        return share


@dataclass(frozen=True, eq=False)
class Calibration:
    """Intervals, and how often they hold measured values on units that no part of them has seen.

    Parameters
    ----------
    intervals
        For prediction.
    summary
        For the manifest.
    covered
        Part of a unit's spots whose measured value lies in the interval calibrated on the other units, by unit, shape
        ``(n_genes,)`` each.
    """

    intervals: Intervals
    summary: Uncertainty
    covered: dict[str, FloatArray]

    @property
    def covered_by_gene(self) -> FloatArray:
        """Mean over units, shape ``(n_genes,)``."""
        mean: FloatArray = np.mean(list(self.covered.values()), axis=0)
        return mean


def held_out_units(
    scores: Sequence[FoldScore], sections: Sequence[SectionSpots], protocol: Protocol
) -> list[HeldOutUnit]:
    """Gather the held-out predictions of one protocol, a unit per fold."""
    measured = {section.section_id: section.expression for section in sections}
    return [
        HeldOutUnit(
            score.fold.unit,
            np.concatenate([measured[name] for name in score.predicted]),
            np.concatenate(list(score.predicted.values())),
            np.concatenate([score.spread[name] for name in score.predicted]),
        )
        for score in scores
        if score.fold.protocol is protocol
    ]


def calibrate_folds(scores: Sequence[FoldScore], sections: Sequence[SectionSpots]) -> Calibration | None:
    """Calibrate on patients held out as a whole; on sections only where the cohort has a single patient.

    Parameters
    ----------
    scores
        Held-out predictions of all folds.
    sections
        What was measured.

    Returns
    -------
    Calibration or None
        None where fewer than two units were held out.
    """
    patients = held_out_units(scores, sections, Protocol.PATIENT)
    if patients:
        return calibrate(patients, "patient")
    return calibrate(held_out_units(scores, sections, Protocol.SECTION), "section")


def calibrate(
    units: Sequence[HeldOutUnit], unit: Literal["patient", "section"], coverage: float = COVERAGE
) -> Calibration | None:
    """Find how wide intervals must be, and measure them on each unit with the others calibrating.

    Parameters
    ----------
    units
        Held-out predictions.
    unit
        What they are.
    coverage
        Wanted part of measured values within the interval.

    Returns
    -------
    Calibration or None
        None for fewer than two units.
    """
    if len(units) < 2:
        return None
    intervals = _fit(units, coverage)
    covered: dict[str, FloatArray] = {}
    for left_out in units:
        others = _fit([other for other in units if other is not left_out], coverage)
        covered[left_out.name] = left_out.covered(others)
    summary = Uncertainty(
        coverage=coverage,
        quantile=intervals.quantile,
        unit=unit,
        n_units=len(units),
        most_promised=round(len(units) / (len(units) + 1), 4) if unit == "patient" else 0,
        held_out_coverage=round(float(np.mean(list(covered.values()))), 4),
        by_unit={name: round(float(values.mean()), 4) for name, values in covered.items()},
    )
    return Calibration(intervals, summary, covered)


def _fit(units: Sequence[HeldOutUnit], coverage: float) -> Intervals:
    """Take each gene's scale from all units, and the quantile of residuals that were scaled without their own unit.

    A unit that is alone is scaled by itself.
    """
    errors = np.array([unit.squared_error for unit in units])
    scored = []
    for number, unit in enumerate(units):
        others = np.delete(errors, number, axis=0) if len(units) > 1 else errors
        scored.append(unit.scores(_root(others)))
    return Intervals(_root(errors).astype(np.float32), _quantile(scored, coverage))


def _root(errors: FloatArray) -> FloatArray:
    """Root of the mean over units, shape ``(n_genes,)``."""
    root: FloatArray = np.maximum(np.sqrt(errors.mean(axis=0)), _LEAST_SD)
    return root


def _quantile(scored: Sequence[NDArray[np.float32]], level: float) -> float:
    """Least value that holds this part of the scores when every unit weighs the same."""
    values = np.concatenate([scores.ravel() for scores in scored])
    weights = np.concatenate([np.full(scores.size, 1 / scores.size) for scores in scored])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / len(scored)
    return float(values[order][min(int(np.searchsorted(reached, level - 1e-9)), len(values) - 1)])
