"""Score the recipe on tissue that was kept apart, with the baselines on the same tissue.

Every fold fits anew on its own training sections, choices included; no spot is ever scored by a head that saw it.
Correlations are taken within a section and then averaged, so that differences between sections cannot pass for skill.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import InputError
from vst_dicom.predict.head import RidgeHead
from vst_dicom.training.baselines import regress
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit import Choice, Recipe, fit_head
from vst_dicom.training.scores import (
    FloatArray,
    depth_adjusted_pearson,
    explained_variance,
    pearson,
    spearman,
)

NUCLEI: Final = "nuclei"
NUCLEI_FITTED: Final = "nuclei_fitted"
STAIN: Final = "stain"
TOTAL_COUNTS: Final = "total_counts"
BASELINES: Final = {
    NUCLEI: "the number of nuclei as it is, the same for every gene",
    NUCLEI_FITTED: "a regression on the number of nuclei",
    STAIN: "a regression on mean hematoxylin and eosin",
    TOTAL_COUNTS: "a regression on the total counts of the spot, which are not known on a new slide",
}
"""What each baseline does; regressions are linear, one per gene, fitted on the training spots of the fold."""


class Protocol(StrEnum):
    """What was kept apart."""

    SECTION = "section"
    """One section; the other sections of the same patient train."""

    SECTION_ALL_PATIENTS = "section, all patients train"
    """One section; all other sections train, those of other patients too."""

    PATIENT = "patient"
    """All sections of a patient; the other patients train."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One fit and what it is tested on.

    Parameters
    ----------
    protocol
        What is kept apart.
    unit
        Its name: a section or a patient.
    patient
        Whose tissue is tested.
    train, test
        Section ids.
    """

    protocol: Protocol
    unit: str
    patient: str
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FoldScore:
    """Figures of a fold; arrays have shape ``(n_genes,)`` and are means over its tested sections.

    Parameters
    ----------
    fold, choice
        What was done.
    n_spots
        Tested spots.
    r, depth_adjusted_r, rank_r, r2
        Pearson, the same with log total counts partialled out, Spearman, explained variance.
    baselines
        Pearson of each baseline.
    predicted, spread
        Held-out predictions by section id, and the standard deviation over the members of the head, each of shape
        ``(n_spots, n_genes)``, rows in the order of the section's spots.
    """

    fold: Fold
    choice: Choice
    n_spots: int
    r: FloatArray
    depth_adjusted_r: FloatArray
    rank_r: FloatArray
    r2: FloatArray
    baselines: dict[str, FloatArray]
    predicted: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    spread: dict[str, NDArray[np.float32]] = field(default_factory=dict)


def make_folds(sections: Sequence[SectionSpots]) -> list[Fold]:
    """Every way of keeping tissue apart that the cohort allows."""
    patients = list(dict.fromkeys(section.patient for section in sections))
    folds = []
    for section in sections:
        own = [s.section_id for s in sections if s.patient == section.patient and s is not section]
        others = [s.section_id for s in sections if s.patient != section.patient]
        if not own:
            continue
        name = section.section_id
        folds.append(Fold(Protocol.SECTION, name, section.patient, tuple(own), (name,)))
        if others:
            folds.append(Fold(Protocol.SECTION_ALL_PATIENTS, name, section.patient, tuple(own + others), (name,)))
    if len(patients) > 1:
        for patient in patients:
            tested = tuple(s.section_id for s in sections if s.patient == patient)
            train = tuple(s.section_id for s in sections if s.patient != patient)
            folds.append(Fold(Protocol.PATIENT, patient, patient, train, tested))
    return folds


def evaluate(
    sections: Sequence[SectionSpots], recipe: Recipe, progress: Callable[[int, int], None] | None = None
) -> list[FoldScore]:
    """Fit and score every fold.

    Parameters
    ----------
    sections
        All sections of the cohort.
    recipe
        How to fit.
    progress
        Called with folds done and folds in all.

    Raises
    ------
    InputError
        If the cohort allows no fold.
    """
    folds = make_folds(sections)
    if not folds:
        raise InputError("nothing can be kept apart: the cohort needs two sections of a patient, or two patients")
    by_id = {section.section_id: section for section in sections}
    scores = []
    for done, fold in enumerate(folds, start=1):
        scores.append(_score(fold, [by_id[name] for name in fold.train], [by_id[name] for name in fold.test], recipe))
        if progress is not None:
            progress(done, len(folds))
    return scores


def _score(fold: Fold, train: list[SectionSpots], test: list[SectionSpots], recipe: Recipe) -> FoldScore:
    head, choice = fit_head(train, recipe)
    predicted = {section.section_id: head.apply(section.features) for section in test}
    spread = {name: np.zeros_like(values) for name, values in predicted.items()}  # a single ridge has no members
    per_section = [score_section(section, predicted[section.section_id]) for section in test]
    baselines = {
        name: np.mean([pearson(_baseline(name, train, section), section.expression) for section in test], axis=0)
        for name in BASELINES
    }
    r, depth_adjusted_r, rank_r, r2 = (np.mean(values, axis=0) for values in zip(*per_section, strict=True))
    n_spots = sum(len(section.expression) for section in test)
    return FoldScore(fold, choice, n_spots, r, depth_adjusted_r, rank_r, r2, baselines, predicted, spread)


def score_section(
    section: SectionSpots, predicted: NDArray[np.floating]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Pearson, depth-adjusted Pearson, Spearman and R² of predictions for a section, each of shape ``(n_genes,)``."""
    return (
        pearson(predicted, section.expression),
        depth_adjusted_pearson(predicted, section.expression, section.total_counts),
        spearman(predicted, section.expression),
        explained_variance(predicted, section.expression),
    )


def score_head(head: RidgeHead, sections: Sequence[SectionSpots]) -> list[tuple[str, float, float]]:
    """Score a head as it is: section, mean Pearson and mean depth-adjusted Pearson over the panel.

    The caller makes sure that the head was not fitted on these sections.
    """
    scored = []
    for section in sections:
        r, depth_adjusted_r, _, _ = score_section(section, head.apply(section.features))
        scored.append((section.section_id, float(r.mean()), float(depth_adjusted_r.mean())))
    return scored


def _baseline(name: str, train: Sequence[SectionSpots], section: SectionSpots) -> FloatArray:
    """Predict a section by a baseline, shape ``(n_spots, n_genes)``; training is centered as for the head."""
    if name == NUCLEI:
        return np.broadcast_to(section.plain[:, :1], section.expression.shape)
    known = np.concatenate([_centered(_known(other, name)) for other in train])
    expression = np.concatenate([_centered(other.expression) for other in train])
    return regress(known, expression, _known(section, name))


def _known(section: SectionSpots, baseline: str) -> FloatArray:
    """Take what a regression may know of each spot, shape ``(n_spots, k)``."""
    if baseline == NUCLEI_FITTED:
        return section.plain[:, :1]
    if baseline == STAIN:
        return section.plain[:, 1:]
    return np.log(section.total_counts)[:, None]


def _centered(values: NDArray[np.floating]) -> FloatArray:
    centered: FloatArray = values - values.mean(axis=0, dtype=np.float64)
    return centered
