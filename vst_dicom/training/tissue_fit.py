"""Fit and judge the classifier of tissue: from a tile's own features to the class that marker genes gave its spot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.tissue import TISSUE_CLASSES
from vst_dicom.predict.manifest_evidence import TissueForm
from vst_dicom.predict.tissue import TissueHead
from vst_dicom.training.card_chapter import Chapter
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.tissue import label_spots

N_COMPONENTS: Final = 32
"""Principal components of the features at most."""

PENALTIES: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the squared coefficients, against the mean loss of a training spot; one is chosen inside the training sections."""

LEAST_SPOTS: Final = 20
"""Fewest training spots of a class; a rarer one is not learned."""

LEAST_KAPPA: Final = 0.2
"""Least agreement with marker genes on held-out tissue; below it (slight, as Landis and Koch call it) the classifier
is not used."""


@dataclass(frozen=True, eq=False)
class TissueEvidence:
    """How the classifier does on tissue that was left out of its fit.

    Parameters
    ----------
    unit
        What was left out: ``patient`` or ``section``.
    kappa_by_unit
        Cohen's kappa between classes by marker genes and by appearance, for each unit that was left out.
    confusion
        Spots of each class by marker genes (rows) that appearance put into each class (columns), over all units,
        shape ``(len(TISSUE_CLASSES), len(TISSUE_CLASSES))``.
    """

    unit: str
    kappa_by_unit: dict[str, float]
    confusion: NDArray[np.int64]

    @property
    def kappa(self) -> float:
        """Cohen's kappa over all units."""
        return cohen_kappa(self.confusion)

    @property
    def balanced_accuracy(self) -> float:
        """Mean over the classes that occur of the part of their spots that was found."""
        total = self.confusion.sum(axis=1)
        occurs = total > 0
        return float((self.confusion.diagonal()[occurs] / total[occurs]).mean()) if occurs.any() else 0.0

    @property
    def supported(self) -> bool:
        """Whether held-out tissue lets the classifier be used."""
        return bool(self.kappa_by_unit) and self.kappa >= LEAST_KAPPA

    @property
    def reason(self) -> str:
        """Why it is used or not, in one sentence."""
        if not self.kappa_by_unit:
            return "not used: fewer than two classes of tissue, or fewer than two sections, to learn from"
        use = "used" if self.supported else "not used, hotspots are relative to all tissue"
        return f"{use}: kappa {self.kappa:.2f} on held-out {self.unit}s, {LEAST_KAPPA:.2f} is needed"

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "classes": list(TISSUE_CLASSES),
            "unit": self.unit,
            "kappa": round(self.kappa, 4),
            "balanced_accuracy": round(self.balanced_accuracy, 4),
            "kappa_by_unit": {name: round(kappa, 4) for name, kappa in self.kappa_by_unit.items()},
            "confusion": self.confusion.tolist(),
            "supported": self.supported,
            "reason": self.reason,
        }


def cohen_kappa(confusion: NDArray[np.int64]) -> float:
    """Agreement beyond chance, 1 at most; 0 where chance alone agrees always or nothing was compared."""
    total = confusion.sum()
    if not total:
        return 0.0
    chance = float((confusion.sum(axis=0) * confusion.sum(axis=1)).sum()) / float(total) ** 2
    return 0.0 if chance >= 1 else (float(confusion.trace() / total) - chance) / (1 - chance)


def fit_tissue(sections: Sequence[SectionSpots], embed_dim: int) -> tuple[TissueHead, float] | None:
    """Fit the classifier; the penalty is chosen by leaving out the sections in turn.

    Parameters
    ----------
    sections
        Training sections.
    embed_dim
        Length of a spot's own features, the first of its features.

    Returns
    -------
    tuple or None
        Classifier and penalty; None where fewer than two classes have `LEAST_SPOTS`.
    """
    labels = _label(sections)
    return _fit([section.features[:, :embed_dim] for section in sections], labels)


def judge_tissue(sections: Sequence[SectionSpots], embed_dim: int) -> TissueEvidence:
    """Leave out each patient in turn, or each section where there is one patient, and compare with marker genes.

    Parameters
    ----------
    sections
        All sections of the cohort.
    embed_dim
        Length of a spot's own features, the first of its features.
    """
    patients = [section.patient for section in sections]
    unit = "patient" if len(set(patients)) > 1 else "section"
    units = patients if unit == "patient" else [section.section_id for section in sections]
    features, labels = [section.features[:, :embed_dim] for section in sections], _label(sections)
    total = np.zeros((len(TISSUE_CLASSES), len(TISSUE_CLASSES)), dtype=np.int64)
    kappas = {}
    for left_out in dict.fromkeys(units):
        train = [index for index, name in enumerate(units) if name != left_out]
        fitted = _fit([features[index] for index in train], [labels[index] for index in train])
        if fitted is None:
            return TissueEvidence(unit, {}, np.zeros_like(total))
        tested = [index for index, name in enumerate(units) if name == left_out]
        predicted = [fitted[0].apply(features[index]) for index in tested]
        confusion = _confuse(np.concatenate([labels[index] for index in tested]), np.concatenate(predicted))
        kappas[left_out] = cohen_kappa(confusion)
        total += confusion
    return TissueEvidence(unit, kappas, total)


def _confuse(labels: NDArray[np.int8], predicted: NDArray[np.int8]) -> NDArray[np.int64]:
    """Count spots by label (rows) and predicted class (columns)."""
    confusion = np.zeros((len(TISSUE_CLASSES), len(TISSUE_CLASSES)), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    return confusion


def form_of_tissue(head: TissueHead, penalty: float, evidence: TissueEvidence) -> TissueForm:
    """Say in the manifest what the classifier is and what supports it."""
    return TissueForm(
        classes=tuple(TISSUE_CLASSES[index] for index in head.classes),
        n_components=len(head.components),
        penalty=penalty,
        held_out_unit="patient" if evidence.unit == "patient" else "section",
        n_held_out=len(evidence.kappa_by_unit),
        kappa=round(evidence.kappa, 4),
        balanced_accuracy=round(evidence.balanced_accuracy, 4),
    )


def describe_tissue(evidence: TissueEvidence) -> Chapter:
    """Write the chapter of the card."""
    labelled = [index for index, total in enumerate(evidence.confusion.sum(axis=1)) if total]
    by_unit = ", ".join(f"{name} {kappa:.2f}" for name, kappa in evidence.kappa_by_unit.items())
    compared = (
        f"Balanced accuracy {evidence.balanced_accuracy:.2f} over {len(labelled)} classes; kappa by {evidence.unit} "
        f"left out: {by_unit}.",
    )
    return Chapter(
        "Tissue classes",
        (
            "Measured marker genes say which kind of tissue each training spot is richest in, compared with the other "
            "spots of the cohort. A linear classifier learns to tell that from a tile's own features. Epithelium is "
            "called tumor-like, never tumor: normal epithelium expresses much the same.",
            f"The classifier is {evidence.reason}.",
            *(compared if labelled else ()),
        ),
        ("by marker genes", *(f"looks like {TISSUE_CLASSES[index]}" for index in range(len(TISSUE_CLASSES))))
        if labelled
        else (),
        tuple((TISSUE_CLASSES[index], *map(str, evidence.confusion[index])) for index in labelled),
    )


def _label(sections: Sequence[SectionSpots]) -> list[NDArray[np.int8]]:
    """Classes of the spots of each section, compared over all of them."""
    labels = label_spots(np.concatenate([section.markers for section in sections]))
    return np.split(labels, np.cumsum([len(section.markers) for section in sections])[:-1])


def _fit(
    features: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.int8]]
) -> tuple[TissueHead, float] | None:
    everything, all_labels = np.concatenate(features), np.concatenate(labels)
    if _classes_of(all_labels) is None:
        return None
    found = dict.fromkeys(PENALTIES, 0.0)
    for left_out in range(len(features)) if len(features) > 1 else ():
        others = [index for index in range(len(features)) if index != left_out]
        train, train_labels = (np.concatenate([parts[i] for i in others]) for parts in (features, labels))
        for penalty in found if _classes_of(train_labels) is not None else ():
            predicted = _solve(train, train_labels, penalty).apply(features[left_out])
            found[penalty] += cohen_kappa(_confuse(labels[left_out], predicted))
    penalty = max(found, key=lambda one: (found[one], -abs(np.log(one))))
    return _solve(everything, all_labels, penalty), penalty


def _classes_of(labels: NDArray[np.int8]) -> tuple[int, ...] | None:
    """Classes with enough spots; None for fewer than two."""
    classes = tuple(np.flatnonzero(np.bincount(labels, minlength=len(TISSUE_CLASSES)) >= LEAST_SPOTS).tolist())
    return classes if len(classes) > 1 else None


def _solve(features: NDArray[np.float32], labels: NDArray[np.int8], penalty: float) -> TissueHead:
    """Multinomial regression with a ridge penalty on principal components; every class weighs the same."""
    from sklearn.linear_model import LogisticRegression

    classes = _classes_of(labels) or ()
    known = np.isin(labels, classes)
    values, target = features[known].astype(np.float64), labels[known]
    mean = values.mean(axis=0)
    _, strengths, directions = np.linalg.svd(values - mean, full_matrices=False)
    keep = strengths[:N_COMPONENTS] > 1e-6 * strengths[0]
    deviations = strengths[:N_COMPONENTS][keep] / np.sqrt(len(values))
    components = directions[:N_COMPONENTS][keep] / deviations[:, None]
    model = LogisticRegression(C=1 / (penalty * len(values)), class_weight="balanced", max_iter=1000)
    model.fit((values - mean) @ components.T, target)
    coefficients, intercept = model.coef_.T, model.intercept_
    if len(classes) == 2:  # scikit-learn gives the one logit of the second class
        coefficients = np.column_stack([-coefficients[:, 0], coefficients[:, 0]]) / 2
        intercept = np.array([-intercept[0], intercept[0]]) / 2
    arrays = (mean, components, coefficients, intercept)
    return TissueHead(classes, *(np.ascontiguousarray(array, dtype=np.float32) for array in arrays))
