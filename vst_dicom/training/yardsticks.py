"""The baselines of a fold: what plain knowledge of a spot would have predicted on the same held-out tissue."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.training.baselines import regress
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.scores import FloatArray
from vst_dicom.training.tissue import MARKERS, label_spots

NUCLEI: Final = "nuclei"
NUCLEI_FITTED: Final = "nuclei_fitted"
STAIN: Final = "stain"
TISSUE_CLASS: Final = "tissue_class"
POSITION: Final = "position"
TOTAL_COUNTS: Final = "total_counts"
BASELINES: Final = {
    NUCLEI: "the number of nuclei as it is, the same for every gene",
    NUCLEI_FITTED: "a regression on the number of nuclei",
    STAIN: "a regression on mean hematoxylin and eosin",
    TISSUE_CLASS: "the mean of the spot's tissue class; classes of training spots come from marker genes, those of "
    "tested ones are read from the image by a linear classifier fitted on the training spots",
    POSITION: "a regression on the position in the section (x, y, their squares and product, from edge to edge)",
    TOTAL_COUNTS: "a regression on the total counts of the spot, which are not known on a new slide",
}
"""What each baseline does; regressions are linear, one per gene, fitted on the training spots of the fold."""

BASELINE_NAMES: Final = {
    NUCLEI: "nuclei",
    NUCLEI_FITTED: "nuclei, fitted",
    STAIN: "stain",
    TISSUE_CLASS: "tissue class",
    POSITION: "position",
    TOTAL_COUNTS: "total counts",
}
"""Short, for the heads of columns."""


def predict_baselines(train: Sequence[SectionSpots], section: SectionSpots) -> dict[str, FloatArray]:
    """Predict a section by every baseline, each of shape ``(n_spots, n_genes)``.

    Training is centered within sections, as for the head; levels are therefore differences from a section's mean.
    Tissue classes need marker genes; without them that baseline says nothing and scores 0.
    """
    expression = np.concatenate([_centered(other.expression) for other in train])
    predicted: dict[str, FloatArray] = {NUCLEI: np.broadcast_to(section.plain[:, :1], section.expression.shape)}
    for name in (NUCLEI_FITTED, STAIN, POSITION, TOTAL_COUNTS):
        known = np.concatenate([_centered(_known(other, name)) for other in train])
        own = _known(section, name)
        predicted[name] = regress(known, expression, own - own.mean(axis=0))
    predicted[TISSUE_CLASS] = _class_means(train, expression, section)
    return {name: predicted[name] for name in BASELINES}


def _known(section: SectionSpots, baseline: str) -> FloatArray:
    """Take what a regression may know of each spot, shape ``(n_spots, k)``."""
    if baseline == NUCLEI_FITTED:
        return section.plain[:, :1]
    if baseline == STAIN:
        return section.plain[:, 1:]
    if baseline == POSITION:
        return position(section.centers_px)
    return np.log(section.total_counts)[:, None]


def _class_means(train: Sequence[SectionSpots], expression: FloatArray, section: SectionSpots) -> FloatArray:
    """Mean training expression of the class that each spot looks like."""
    if any(other.markers.shape[1] != len(MARKERS) for other in train):
        return np.zeros(section.expression.shape)
    labels = label_spots(np.concatenate([other.markers for other in train]))
    classes = np.unique(labels)
    members = (labels[:, None] == classes).astype(np.float64)
    means = members.T @ expression / members.sum(axis=0)[:, None]
    looks_like = _classify(train, members, section).argmax(axis=1)
    predicted: FloatArray = means[looks_like]
    return predicted


def _classify(train: Sequence[SectionSpots], members: FloatArray, section: SectionSpots) -> FloatArray:
    """How well each class fits, by ridge regression of membership on the features, shape ``(n_spots, n_classes)``."""
    features = np.concatenate([_centered(other.features) for other in train])
    shares = members.mean(axis=0)
    own = _centered(section.features)
    penalty = (features * features).sum() / min(features.shape)
    if len(features) <= features.shape[1]:
        weights = _solve(features @ features.T, penalty, members - shares)
        return np.asarray(own @ (features.T @ weights) + shares, dtype=np.float64)
    weights = _solve(features.T @ features, penalty, features.T @ (members - shares))
    return np.asarray(own @ weights + shares, dtype=np.float64)


def _solve(products: FloatArray, penalty: float, wanted: FloatArray) -> FloatArray:
    """Ridge regression from sums of products."""
    return np.asarray(np.linalg.solve(products + penalty * np.eye(len(products)), wanted), dtype=np.float64)


def position(centers_px: FloatArray) -> FloatArray:
    """x, y, their squares and product, from -1 at one edge of the section to 1 at the other, shape ``(n, 5)``."""
    low, high = centers_px.min(axis=0), centers_px.max(axis=0)
    x, y = ((2 * centers_px - low - high) / np.maximum(high - low, 1e-9)).T
    return np.column_stack([x, y, x * x, y * y, x * y])


def _centered(values: NDArray[np.floating]) -> FloatArray:
    centered: FloatArray = values - values.mean(axis=0, dtype=np.float64)
    return centered
