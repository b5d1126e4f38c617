"""A report that says anything else than the result is found, whatever it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.encode.conftest import MakeResult, MakeSource
from vst_dicom.domain.errors import EncodingError
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.encode.checks import check_result
from vst_dicom.encode.forms import result_objects, write_objects
from vst_dicom.encode.report import report_objects
from vst_dicom.encode.writing import write_dicom


def items(dataset: Dataset, meaning: str) -> list[Dataset]:
    found = []
    for item in dataset.get("ContentSequence", ()):
        if item.ConceptNameCodeSequence[0].CodeMeaning == meaning:
            found.append(item)
        found += items(item, meaning)
    return found


def change_number(report: Dataset) -> None:
    measured = items(report, "Predicted ESR1 mRNA expression")[0].MeasuredValueSequence[0]
    measured.FloatingPointValue += 1e-6
    measured.NumericValue = measured.FloatingPointValue


def change_decimal_only(report: Dataset) -> None:
    items(report, "Area")[0].MeasuredValueSequence[0].NumericValue = "0.0027"


def change_unit(report: Dataset) -> None:
    items(report, "Area")[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "um2"


def change_gene(report: Dataset) -> None:
    items(report, "Gene studied [ID]")[-1].ConceptCodeSequence[0].CodeValue = "HGNC:1"


def change_class(report: Dataset) -> None:
    items(report, "Tissue class by appearance")[0].ConceptCodeSequence[0].CodeValue = "vst-0210.5"


def move_corner(report: Dataset) -> None:
    region = items(report, "Image Region")[1]
    region.GraphicData = [region.GraphicData[0] + 0.0001, *region.GraphicData[1:]]


def open_outline(report: Dataset) -> None:
    region = items(report, "Image Region")[0]
    region.GraphicData = region.GraphicData[:-3]


def place_elsewhere(report: Dataset) -> None:
    items(report, "Image Region")[0].ReferencedFrameOfReferenceUID = "2.25.5"


def swap_frames(report: Dataset) -> None:
    items(report, "Source of Measurement")[-1].ReferencedSOPSequence[0].ReferencedFrameNumber = 1


def swap_segments(report: Dataset) -> None:
    items(report, "Source of Measurement")[0].ReferencedSOPSequence[0].ReferencedSegmentNumber = 1


def forget_warning(report: Dataset) -> None:
    remarks = report.ContentSequence[-1]
    remarks.ContentSequence = [
        item for item in remarks.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning != "Warning"
    ]


def forget_purpose(report: Dataset) -> None:
    group = items(report, "Measurement Group")[0]
    group.ContentSequence = [
        item for item in group.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning != "Intended use"
    ]


def forget_hotspot(report: Dataset) -> None:
    (groups,) = items(report, "Imaging Measurements")
    groups.ContentSequence = groups.ContentSequence[:1]


def add_gene_twice(report: Dataset) -> None:
    (genes,) = items(report, "Predicted expression over all tissue")
    genes.ContentSequence = [*genes.ContentSequence, genes.ContentSequence[0]]


def change_signature(report: Dataset) -> None:
    items(report, "Predicted score of a gene signature (image-derived)")[1].MeasuredValueSequence[0].NumericValue = 1


def name_another_specimen(report: Dataset) -> None:
    items(report, "Specimen Identifier")[0].TextValue = "S26-2"


def leave_out_the_map(report: Dataset) -> None:
    study = report.CurrentRequestedProcedureEvidenceSequence[0]
    study.ReferencedSeriesSequence = [
        series for series in study.ReferencedSeriesSequence
        if series.ReferencedSOPSequence[0].ReferencedSOPClassUID != "1.2.840.10008.5.1.4.1.1.30"
    ]  # fmt: skip


FAULTS = [
    change_number, change_decimal_only, change_unit, change_gene, change_class, move_corner, open_outline,
    place_elsewhere, swap_frames, swap_segments, forget_warning, forget_purpose, forget_hotspot, add_gene_twice,
    change_signature, name_another_specimen, leave_out_the_map,
]  # fmt: skip


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, make_source: MakeSource, make_result: MakeResult
) -> tuple[Path, Callable[[], None]]:
    """All objects of a result that has all a result can have; and their check."""
    source, result = make_source(), make_result(everything=True)
    objects = result_objects(source, result, frozenset(ResultForm), Encoding())
    folder = tmp_path_factory.mktemp("objects")
    write_objects(objects, folder)
    return folder, lambda: check_result(source, result, objects, folder)


def test_a_report_that_says_what_was_found_passes(everything: tuple[Path, Callable[[], None]]) -> None:
    everything[1]()


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda fault: fault.__name__)
def test_a_report_that_says_something_else_is_found(
    everything: tuple[Path, Callable[[], None]], spoil: Callable[[Dataset], None]
) -> None:
    folder, check = everything
    path = folder / "report.dcm"
    right = path.read_bytes()
    report = pydicom.dcmread(path)
    spoil(report)
    write_dicom(report, path)

    try:
        with pytest.raises(EncodingError, match=r"report\.dcm"):
            check()
    finally:
        path.write_bytes(right)


@pytest.mark.parametrize("name", ["parametric-map", "segmentation"])
def test_a_report_that_refers_to_the_frame_or_segment_of_another_gene_is_found(
    tmp_path: Path, make_source: MakeSource, make_result: MakeResult, name: str
) -> None:
    source, result = make_source(), make_result(everything=True)
    *others, _ = result_objects(source, result, frozenset(ResultForm), Encoding())
    wrong = [
        replace(other, genes=tuple(reversed(other.genes))) if other.kind.name == name else other for other in others
    ]
    objects = [*others, *report_objects(source, result, wrong)]
    write_objects(objects, tmp_path)

    with pytest.raises(EncodingError, match="of another gene"):
        check_result(source, result, objects, tmp_path)
