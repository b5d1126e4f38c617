"""Annotations that draw or state anything else than the result are found, whatever it is."""

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.encode.conftest import MakeResult, MakeSource
from vst_dicom.domain.errors import EncodingError
from vst_dicom.encode.annotations import encode_annotations
from vst_dicom.encode.annotations_check import check_annotations


def shift(group: Dataset, index: int, by: float) -> None:
    points = np.frombuffer(group.DoublePointCoordinatesData, dtype="<f8").copy()
    points[index] += by
    group.DoublePointCoordinatesData = points.tobytes()


def change_value(group: Dataset, measurement: int) -> None:
    stored = group.MeasurementsSequence[measurement].MeasurementValuesSequence[0]
    values = np.frombuffer(stored.FloatingPointValues, dtype="<f4").copy()
    values[-1] += np.float32(0.01)
    stored.FloatingPointValues = values.tobytes()


def repeat_a_tile(groups: list[Dataset]) -> None:
    points = np.frombuffer(groups[0].DoublePointCoordinatesData, dtype="<f8").copy()
    points[8:16] = points[:8]
    groups[0].DoublePointCoordinatesData = points.tobytes()


def draw_points(groups: list[Dataset]) -> None:
    groups[-1].GraphicType = "POINT"


def swap_colors(groups: list[Dataset]) -> None:
    groups[0].RecommendedDisplayCIELabValue = groups[1].RecommendedDisplayCIELabValue


def color_hotspots_alike(groups: list[Dataset]) -> None:
    groups[-1].RecommendedDisplayCIELabValue = groups[-2].RecommendedDisplayCIELabValue


def share_a_uid(groups: list[Dataset]) -> None:
    groups[3].AnnotationGroupUID = groups[4].AnnotationGroupUID


def leave_out_a_fifth(groups: list[Dataset]) -> None:
    groups.pop(4)
    for number, group in enumerate(groups, start=1):
        group.AnnotationGroupNumber = number


def leave_out_hotspots(groups: list[Dataset]) -> None:
    groups.pop()


def forget_half_widths(groups: list[Dataset]) -> None:
    groups[2].MeasurementsSequence = groups[2].MeasurementsSequence[:1]


def lift_off_the_glass(groups: list[Dataset]) -> None:
    groups[0].CommonZCoordinateValue = 0.001


FAULTS: dict[str, Callable[[list[Dataset]], None]] = {
    "a corner of a tile": lambda groups: shift(groups[0], 2, 1e-9),
    "a corner of a hotspot": lambda groups: shift(groups[-1], 0, 1e-9),
    "a tile's value": lambda groups: change_value(groups[0], 0),
    "a tile's half width": lambda groups: change_value(groups[0], 1),
    "a hotspot's area": lambda groups: change_value(groups[-1], 0),
    "a hotspot's mean": lambda groups: change_value(groups[-2], 1),
    "a hotspot's Gi*": lambda groups: change_value(groups[-1], 2),
    "a tile twice": repeat_a_tile,
    "points": draw_points,
    "colors of fifths": swap_colors,
    "colors of hotspots": color_hotspots_alike,
    "a UID twice": share_a_uid,
    "a fifth is missing": leave_out_a_fifth,
    "hotspots are missing": leave_out_hotspots,
    "half widths are missing": forget_half_widths,
    "another height": lift_off_the_glass,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_other_annotations_than_the_result_has_are_found(
    make_source: MakeSource, make_result: MakeResult, fault: str
) -> None:
    source, result = make_source(), make_result(everything=True)
    dataset = encode_annotations(source, result)
    check_annotations(dataset, source, result, None)
    groups = list(dataset.AnnotationGroupSequence)
    FAULTS[fault](groups)
    dataset.AnnotationGroupSequence = groups

    with pytest.raises(EncodingError):
        check_annotations(dataset, source, result, None)


def test_genes_that_were_not_chosen_are_found(make_source: MakeSource, make_result: MakeResult) -> None:
    source, result = make_source(), make_result(everything=True)
    dataset = encode_annotations(source, result)

    with pytest.raises(EncodingError, match="draws what the result does not have"):
        check_annotations(dataset, source, result, ["ESR1"])
