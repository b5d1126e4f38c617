"""Score the recipe on tissue that was kept apart, with the baselines on the same tissue.

Every fold fits anew on its own training sections, choices included; no spot is ever scored by a head that saw it.
Correlations are taken within a section and then averaged, so that differences between sections cannot pass for skill.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import InputError
from vst_dicom.predict.members import Head
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.figures import N_DRAWS, Figures, average, measure
from vst_dicom.training.fit import Choice, Recipe, fit_head
from vst_dicom.training.scores import depth_adjusted_pearson, pearson
from vst_dicom.training.yardsticks import predict_baselines


class Protocol(StrEnum):
    """What was kept apart."""

    SECTION = "section"
    """One section; the other sections of the same patient train."""

    SECTION_ALL_PATIENTS = "section, all patients train"
    """One section; all other sections train, those of other patients too."""

    PATIENT = "patient"
    """All sections of a patient; the other patients train."""

    SITE = "site"
    """All sections of a site; patients that were never seen there train. Where a site has several patients."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One fit and what it is tested on.

    Parameters
    ----------
    protocol
        What is kept apart.
    unit
        Its name: a section, a patient or a site.
    patient
        Whose tissue is tested; several, separated by commas, for a site.
    train, test
        Section ids.
    patients
        Patient of each tested section; empty where all are of `patient`.
    """

    protocol: Protocol
    unit: str
    patient: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    patients: tuple[str, ...] = ()

    def patient_of(self, section_id: str) -> str:
        """Patient of a tested section."""
        return self.patients[self.test.index(section_id)] if self.patients else self.patient


@dataclass(frozen=True, eq=False)
class FoldScore:
    """Held-out predictions of a fold and what they are worth.

    Parameters
    ----------
    fold, choice
        What was done.
    n_spots
        Tested spots.
    sections
        Figures by tested section.
    predicted, spread
        Held-out predictions by section, and the standard deviation over the members of the head, each of shape
        ``(n_spots, n_genes)``, rows in the order of the section's spots.
    """

    fold: Fold
    choice: Choice
    n_spots: int
    sections: dict[str, Figures]
    predicted: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    spread: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @cached_property
    def figures(self) -> Figures:
        """Mean over the tested sections."""
        return average(list(self.sections.values()))


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
    return folds + _site_folds(sections)


def _site_folds(sections: Sequence[SectionSpots]) -> list[Fold]:
    """Leave out each site where there are several; none where that is the same as leaving out each patient."""
    folds = []
    sites = list(dict.fromkeys(section.site for section in sections))
    for site in sites:
        tested = [s for s in sections if s.site == site]
        patients = tuple(section.patient for section in tested)
        train = tuple(s.section_id for s in sections if s.site != site and s.patient not in patients)
        if train:
            names = ", ".join(dict.fromkeys(patients))
            test = tuple(section.section_id for section in tested)
            folds.append(Fold(Protocol.SITE, site, names, train, test, patients))
    same = all(len(set(fold.patients)) == 1 for fold in folds)
    return [] if len(folds) < len(sites) or same else folds


def evaluate(
    sections: Sequence[SectionSpots],
    recipe: Recipe,
    progress: Callable[[int, int], None] | None = None,
    *,
    seed: int = 0,
    n_draws: int = N_DRAWS,
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
    seed
        Of the members' draws and the null.
    n_draws
        Maps of the null per section.

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
        train, test = [by_id[name] for name in fold.train], [by_id[name] for name in fold.test]
        draws = 0 if fold.protocol is Protocol.SECTION_ALL_PATIENTS else n_draws
        scores.append(_score(fold, train, test, recipe, seed, draws))
        if progress is not None:
            progress(done, len(folds))
    return scores


def _score(
    fold: Fold, train: list[SectionSpots], test: list[SectionSpots], recipe: Recipe, seed: int, n_draws: int
) -> FoldScore:
    head, choice = fit_head(train, recipe, seed)
    predicted = {section.section_id: head.apply(section.features) for section in test}
    spread = {section.section_id: head.spread(section.features) for section in test}
    figures = {
        section.section_id: measure(
            section, predicted[section.section_id], predict_baselines(train, section), n_draws, seed
        )
        for section in test
    }
    n_spots = sum(len(section.expression) for section in test)
    return FoldScore(fold, choice, n_spots, figures, predicted, spread)


def score_head(head: Head, sections: Sequence[SectionSpots]) -> list[tuple[str, float, float]]:
    """Score a head as it is: section, mean Pearson and mean depth-adjusted Pearson over the panel.

    The caller makes sure that the head was not fitted on these sections.
    """
    scored = []
    for section in sections:
        predicted = head.apply(section.features)
        adjusted = depth_adjusted_pearson(predicted, section.expression, section.total_counts)
        scored.append(
            (section.section_id, float(pearson(predicted, section.expression).mean()), float(adjusted.mean()))
        )
    return scored
