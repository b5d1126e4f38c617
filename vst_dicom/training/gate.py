"""Which genes a bundle may show, and the sentence that says why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from vst_dicom.domain.expression import GeneStatus
from vst_dicom.training.evaluate import NUCLEI, NUCLEI_FITTED, FoldScore, Protocol
from vst_dicom.training.scores import LEAST_UNITS_FOR_INTERVAL, bootstrap_interval

LEAST_R: Final = 0.30
"""Least mean held-out correlation."""

LEAST_DEPTH_ADJUSTED_R: Final = 0.15
"""Least mean held-out correlation with sequencing depth partialled out."""

LEAST_GAIN: Final = 0.05
"""Least mean held-out correlation above that of counting nuclei."""

LEAST_POSITIVE: Final = 0.70
"""Least part of patients with a positive correlation, where patients can be judged."""


@dataclass(frozen=True, slots=True)
class GeneEvidence:
    """Held-out figures of a gene, and the verdict.

    Parameters
    ----------
    status, reason
        Verdict.
    unit, n_units
        What was kept apart for it, and how many.
    r, interval, least_r, greatest_r
        Mean correlation over the units, its 95 % interval if it can be had, and the extremes.
    depth_adjusted_r, nuclei_r
        Means over the same units; of nuclei, the number itself or the regression on it, whichever does better.
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
    depth_adjusted_r: float
    nuclei_r: float
    other_patient_r: float | None


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
    by_patient = [score for score in scores if score.fold.protocol is Protocol.PATIENT]
    by_section = [
        score for score in scores if score.fold.protocol is Protocol.SECTION and score.fold.patient in fit_patients
    ]
    patients_count = len(by_patient) >= LEAST_UNITS_FOR_INTERVAL
    units = by_patient if patients_count or not by_section else by_section
    r, depth_adjusted_r = np.array([u.r for u in units]), np.array([u.depth_adjusted_r for u in units])
    nuclei_r = np.array([np.maximum(u.baselines[NUCLEI], u.baselines[NUCLEI_FITTED]) for u in units])
    others = np.array([u.r for u in by_patient if u.fold.patient not in fit_patients] or [u.r for u in by_patient])
    judged = []
    for gene in range(r.shape[1]):
        other_patient_r = float(others[:, gene].mean()) if len(others) else None
        facts = GeneEvidence(
            status=GeneStatus.HIDDEN,
            reason="",
            unit="patient" if units is by_patient else "section",
            n_units=len(units),
            r=float(r[:, gene].mean()),
            interval=bootstrap_interval(r[:, gene], seed) if patients_count else None,
            least_r=float(r[:, gene].min()),
            greatest_r=float(r[:, gene].max()),
            depth_adjusted_r=float(depth_adjusted_r[:, gene].mean()),
            nuclei_r=float(nuclei_r[:, gene].mean()),
            other_patient_r=other_patient_r,
        )
        judged.append(_with_verdict(facts, float((r[:, gene] > 0).mean())))
    return judged


def _with_verdict(facts: GeneEvidence, positive: float) -> GeneEvidence:
    failed = _failures(facts, positive)
    if failed:
        status, reason = GeneStatus.HIDDEN, f"Hidden: {'; '.join(failed)}."
    elif facts.interval is not None:
        low, high = facts.interval
        status = GeneStatus.SUPPORTED
        reason = (
            f"Supported: held-out r {facts.r:.2f} (95 % interval {low:.2f} to {high:.2f}) over {facts.n_units} "
            f"patients, {facts.depth_adjusted_r:.2f} with sequencing depth partialled out."
        )
    else:
        status = GeneStatus.EXPLORATORY
        elsewhere = (
            "" if facts.other_patient_r is None else f", {facts.other_patient_r:.2f} on tissue of another patient"
        )
        reason = (
            f"Exploratory: held-out r {facts.r:.2f} over {facts.n_units} {facts.unit}s ({facts.least_r:.2f} to "
            f"{facts.greatest_r:.2f}), {facts.depth_adjusted_r:.2f} with sequencing depth partialled out{elsewhere}; "
            f"fewer than {LEAST_UNITS_FOR_INTERVAL} patients cannot support a gene."
        )
    return GeneEvidence(
        status, reason, facts.unit, facts.n_units, facts.r, facts.interval, facts.least_r, facts.greatest_r,
        facts.depth_adjusted_r, facts.nuclei_r, facts.other_patient_r,
    )  # fmt: skip


def _failures(facts: GeneEvidence, positive: float) -> list[str]:
    """Say what speaks against showing the gene."""
    failed = []
    if facts.r < LEAST_R:
        failed.append(f"held-out r {facts.r:.2f} is below {LEAST_R:.2f}")
    if facts.interval is None and facts.least_r <= 0:
        failed.append(f"on one {facts.unit} r is {facts.least_r:.2f}, not above 0")
    if facts.interval is not None and facts.interval[0] <= 0:
        failed.append(f"the 95 % interval over patients starts at {facts.interval[0]:.2f}, not above 0")
    if facts.interval is not None and positive < LEAST_POSITIVE:
        failed.append(f"r is positive in {positive:.0%} of patients, fewer than {LEAST_POSITIVE:.0%}")
    if facts.depth_adjusted_r < LEAST_DEPTH_ADJUSTED_R:
        failed.append(
            f"with sequencing depth partialled out r is {facts.depth_adjusted_r:.2f}, below "
            f"{LEAST_DEPTH_ADJUSTED_R:.2f}"
        )
    if facts.r - facts.nuclei_r < LEAST_GAIN:
        failed.append(f"counting nuclei alone gives {facts.nuclei_r:.2f}")
    if facts.other_patient_r is not None and facts.other_patient_r <= 0:
        failed.append(f"on tissue of another patient r is {facts.other_patient_r:.2f}, not above 0")
    return failed
