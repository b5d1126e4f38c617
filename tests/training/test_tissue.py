import numpy as np
import pytest

from vst_dicom.domain.tissue import FAT, LYMPHOCYTE_RICH, OTHER, STROMA, TISSUE_CLASSES, TUMOR_LIKE, name_class
from vst_dicom.training.tissue import MARKERS, MARKERS_OF, label_spots


def measured(classes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Markers of a spot's class at 2 to 3, all others at 0 to 1."""
    random = np.random.default_rng(seed)
    markers = random.uniform(0, 1, (len(classes), len(MARKERS)))
    for tissue_class, symbols in MARKERS_OF.items():
        columns = [MARKERS.index(symbol) for symbol in symbols]
        markers[np.ix_(classes == tissue_class, columns)] += 2
    return markers.astype(np.float32)


def test_spots_get_the_class_whose_markers_stand_out() -> None:
    classes = np.repeat([TUMOR_LIKE, STROMA, LYMPHOCYTE_RICH, FAT, OTHER], 40)

    assert (label_spots(measured(classes)) == classes).all()


def test_a_class_that_the_cohort_lacks_is_given_to_no_spot() -> None:
    classes = np.repeat([TUMOR_LIKE, STROMA], 40)

    labels = label_spots(measured(classes))

    assert (labels == classes).all()


def test_absent_markers_do_not_disturb_the_others() -> None:
    classes = np.repeat([TUMOR_LIKE, STROMA, LYMPHOCYTE_RICH], 40)
    markers = measured(classes)
    markers[:, ::2] = 0

    assert (label_spots(markers) == classes).mean() > 0.97


def test_noise_alone_has_no_class() -> None:
    markers = np.random.default_rng(0).uniform(0, 1, (200, len(MARKERS))).astype(np.float32)

    assert (label_spots(markers) == OTHER).all()
    assert (label_spots(np.zeros((5, len(MARKERS)), np.float32)) == OTHER).all()


def test_no_marker_stands_for_two_classes() -> None:
    assert len(set(MARKERS)) == len(MARKERS)


def test_another_number_of_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="must have shape"):
        label_spots(np.zeros((3, 2), np.float32))


def test_a_class_is_never_called_tumor() -> None:
    assert TISSUE_CLASSES[TUMOR_LIKE] == "tumor-like epithelium"
    assert name_class(TUMOR_LIKE) == "tumor-like epithelium"
    assert name_class(None) == "not classified"
