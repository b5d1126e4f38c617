"""Which genes a bundle may show, and the sentence that says why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from vst_dicom.domain.expression import GeneStatus
from vst_dicom.training.evaluate import FoldScore, Protocol
from vst_dicom.training.figures import Figures, average
from vst_dicom.training.scores import (
    LEAST_UNITS_FOR_INTERVAL,
    FloatArray,
    bootstrap_medians,
    false_discovery_rate,
    permutation_p,
)
from vst_dicom.training.yardsticks import NUCLEI, NUCLEI_FITTED, POSITION, STAIN, TISSUE_CLASS, TOTAL_COUNTS

LEAST_R: Final = 0.30
"""Least median held-out correlation."""

LEAST_DEPTH_ADJUSTED_R: Final = 0.15
"""Least median held-out correlation with sequencing depth partialled out."""

LEAST_GAIN: Final = 0.05
"""Least lead of the median held-out correlation over that of every baseline."""

LEAST_POSITIVE: Final = 0.70
"""Least part of patients with a positive correlation, where patients can be judged."""

MOST_FALSE: Final = 0.05
"""False discovery rate, over the genes of the panel, of the test against maps laid over at random."""

CALIBRATED: Final = (0.7, 1.3)
"""Slopes of measured on predicted within which a predicted difference may be read as one of expression."""

LEAST_MORAN: Final = 0.05
"""Below this the measured map has no spatial structure that a ratio could refer to."""

_PROXIES: Final = {
    NUCLEI: "counting nuclei alone gives {:.2f}",
    NUCLEI_FITTED: "counting nuclei alone gives {:.2f}",
    STAIN: "the strength of the stains alone gives {:.2f}",
    TISSUE_CLASS: "it is a proxy of its tissue class, whose mean alone gives {:.2f}",
    POSITION: "the position in the section alone gives {:.2f}",
    TOTAL_COUNTS: "sequencing depth alone gives {:.2f}",
}


@dataclass(frozen=True, slots=True)
class GeneEvidence:
    """Held-out figures of a gene, and the verdict; where nothing else is said, medians over the units.

    Parameters
    ----------
    status, reason
        Verdict.
    unit, n_units
        What was kept apart for it, and how many.
    r, interval, least_r, greatest_r, positive
        Correlation, its 95 % interval if it can be had, the extremes, and the part of the units with r above 0.
    depth_adjusted_r, rank_r, r2, mae, slope
        As of `vst_dicom.training.figures.Figures`.
    p, q
        One-sided p against maps laid over at random, the larger of those of `r` and `depth_adjusted_r`, and its
        false discovery rate over the panel.
    moran_ratio
        Moran's I of the predictions by that of the measurements; None where the measurements have none to speak of.
    baselines
        Correlation of each baseline.
    other_patient_r
        Mean over patients left out as a whole; None where there is one patient.
    """

    status: GeneStatus
    reason: str
    unit: Literal["patient", "section"]
    n_units: int
    r: float
    interval: tuple[float, float] | None
    least_r: float
    greatest_r: float
    positive: float
    depth_adjusted_r: float
    rank_r: float
    r2: float
    mae: float
    slope: float
    p: float
    q: float
    moran_ratio: float | None
    baselines: dict[str, float]
    other_patient_r: float | None

    @property
    def nuclei_r(self) -> float:
        """What counting nuclei reaches, as it is or by a regression, whichever does better."""
        return max(self.baselines[NUCLEI], self.baselines[NUCLEI_FITTED])

    @property
    def ranks_only(self) -> bool:
        """Whether predicted differences are too large or too small to be read as differences of expression."""
        return not CALIBRATED[0] <= self.slope <= CALIBRATED[1]


def patient_figures(scores: Sequence[FoldScore]) -> dict[str, Figures]:
    """Figures of each patient when it was left out, together with its site where sites were left out.

    Empty where there is one patient.
    """
    protocols = {score.fold.protocol for score in scores}
    strictest = Protocol.SITE if Protocol.SITE in protocols else Protocol.PATIENT
    of_patient: dict[str, list[Figures]] = {}
    for score in scores:
        if score.fold.protocol is strictest:
            for section_id, figures in score.sections.items():
                of_patient.setdefault(score.fold.patient_of(section_id), []).append(figures)
    return {patient: average(figures) for patient, figures in of_patient.items()}


def judged_folds(scores: Sequence[FoldScore], fit_patients: Sequence[str]) -> tuple[list[FoldScore], bool]:
    """Give the folds that the verdicts rest on, and whether their units are patients; see `judge`."""
    protocols = {score.fold.protocol for score in scores}
    strictest = Protocol.SITE if Protocol.SITE in protocols else Protocol.PATIENT
    by_patient = [score for score in scores if score.fold.protocol is strictest]
    by_section = [
        score for score in scores if score.fold.protocol is Protocol.SECTION and score.fold.patient in fit_patients
    ]
    if len(patient_figures(scores)) >= LEAST_UNITS_FOR_INTERVAL or not by_section:
        return by_patient, True
    return by_section, False


def judge(scores: Sequence[FoldScore], fit_patients: Sequence[str], seed: int) -> list[GeneEvidence]:
    """Judge every gene of the panel.

    With `LEAST_UNITS_FOR_INTERVAL` patients or more, genes can be supported, and patients left out are the units.
    With fewer none can: the units are sections left out within the patients that train the head, and a gene is
    exploratory at best. Where no patient has two sections, the few patients are the units.

    Parameters
    ----------
    scores
        Of all folds.
    fit_patients
        Patients whose spots give the head.
    seed
        Of the interval's draws.
    """
    folds, are_patients = judged_folds(scores, fit_patients)
    by_patient = patient_figures(scores)
    units = list(by_patient.values()) if are_patients else [fold.figures for fold in folds]
    r = np.array([unit.r for unit in units])
    interval = bootstrap_medians(r, seed) if are_patients else None
    p = np.maximum(
        permutation_p(np.median(r, axis=0), np.median([unit.null_r for unit in units], axis=0)),
        permutation_p(
            _median(units, "depth_adjusted_r"), np.median([unit.null_depth_adjusted_r for unit in units], axis=0)
        ),
    )
    q = false_discovery_rate(p)
    moran_measured, moran_predicted = _median(units, "moran_measured"), _median(units, "moran_predicted")
    baselines = {name: np.median([unit.baselines[name] for unit in units], axis=0) for name in units[0].baselines}
    per_gene = {name: _median(units, name) for name in ("depth_adjusted_r", "rank_r", "r2", "mae", "slope")}
    unfitted = [figures.r for patient, figures in by_patient.items() if patient not in fit_patients]
    others = np.array(unfitted or [figures.r for figures in by_patient.values()])
    judged = []
    for gene in range(r.shape[1]):
        structured = moran_measured[gene] >= LEAST_MORAN
        facts = GeneEvidence(
            status=GeneStatus.HIDDEN,
            reason="",
            unit="patient" if are_patients else "section",
            n_units=len(units),
            r=float(np.median(r[:, gene])),
            interval=None if interval is None else (float(interval[0][gene]), float(interval[1][gene])),
            least_r=float(r[:, gene].min()),
            greatest_r=float(r[:, gene].max()),
            positive=float((r[:, gene] > 0).mean()),
            **{name: float(values[gene]) for name, values in per_gene.items()},
            p=float(p[gene]),
            q=float(q[gene]),
            moran_ratio=float(moran_predicted[gene] / moran_measured[gene]) if structured else None,
            baselines={name: float(values[gene]) for name, values in baselines.items()},
            other_patient_r=float(others[:, gene].mean()) if len(others) else None,
        )
        judged.append(_with_verdict(facts))
    return judged


def _median(units: Sequence[Figures], name: str) -> FloatArray:
    middle: FloatArray = np.median([getattr(unit, name) for unit in units], axis=0)
    return middle


def _with_verdict(facts: GeneEvidence) -> GeneEvidence:
    failed = _failures(facts)
    if failed:
        return replace(facts, status=GeneStatus.HIDDEN, reason=f"Hidden: {'; '.join(failed)}.")
    ranks = f" Read it as ranks: the calibration slope is {facts.slope:.2f}." if facts.ranks_only else ""
    if facts.interval is not None:
        low, high = facts.interval
        reason = (
            f"Supported: held-out r {facts.r:.2f} (95 % interval {low:.2f} to {high:.2f}) over {facts.n_units} "
            f"patients, {facts.depth_adjusted_r:.2f} with sequencing depth partialled out."
        )
        return replace(facts, status=GeneStatus.SUPPORTED, reason=reason + ranks)
    elsewhere = "" if facts.other_patient_r is None else f", {facts.other_patient_r:.2f} on tissue of another patient"
    reason = (
        f"Exploratory: held-out r {facts.r:.2f} over {facts.n_units} {facts.unit}s ({facts.least_r:.2f} to "
        f"{facts.greatest_r:.2f}), {facts.depth_adjusted_r:.2f} with sequencing depth partialled out{elsewhere}; "
        f"fewer than {LEAST_UNITS_FOR_INTERVAL} patients cannot support a gene."
    )
    return replace(facts, status=GeneStatus.EXPLORATORY, reason=reason + ranks)


def _failures(facts: GeneEvidence) -> list[str]:
    """Say what speaks against showing the gene."""
    failed = []
    if facts.r < LEAST_R:
        failed.append(f"held-out r {facts.r:.2f} is below {LEAST_R:.2f}")
    if facts.interval is None and facts.least_r <= 0:
        failed.append(f"on one {facts.unit} r is {facts.least_r:.2f}, not above 0")
    if facts.interval is not None and facts.interval[0] <= 0:
        failed.append(f"the 95 % interval over patients starts at {facts.interval[0]:.2f}, not above 0")
    if facts.interval is not None and facts.positive < LEAST_POSITIVE:
        failed.append(f"r is positive in {facts.positive:.0%} of patients, fewer than {LEAST_POSITIVE:.0%}")
    if facts.depth_adjusted_r < LEAST_DEPTH_ADJUSTED_R:
        failed.append(
            f"with sequencing depth partialled out r is {facts.depth_adjusted_r:.2f}, below "
            f"{LEAST_DEPTH_ADJUSTED_R:.2f}"
        )
    beaten_by = {
        _PROXIES[name].format(facts.nuclei_r if name in (NUCLEI, NUCLEI_FITTED) else value): None
        for name, value in facts.baselines.items()
        if facts.r - value < LEAST_GAIN
    }
    failed.extend(beaten_by)
    if facts.q > MOST_FALSE:
        failed.append(
            f"maps laid over at random do as well too often (false discovery rate {facts.q:.2f}, above "
            f"{MOST_FALSE:.2f})"
        )
    if facts.other_patient_r is not None and facts.other_patient_r <= 0:
        failed.append(f"on tissue of another patient r is {facts.other_patient_r:.2f}, not above 0")
    return failed
