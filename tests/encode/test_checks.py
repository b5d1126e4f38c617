import dataclasses
from pathlib import Path

import numpy as np
import pydicom
import pytest

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.errors import EncodingError
from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.checks import check_result
from vst_dicom.encode.forms import result_objects, write_objects
from vst_dicom.encode.objects import ResultObject
from vst_dicom.encode.writing import write_dicom


def objects_of(source: SourceSlide, result: SlideResult) -> list[ResultObject]:
    return result_objects(source, result, frozenset(ResultForm), Encoding())


@pytest.fixture
def files(tmp_path, make_source, make_result):
    """Every object, by the name of its kind."""
    objects = objects_of(make_source(), make_result())
    write_objects(objects, tmp_path)
    return {written.kind.name: tmp_path / written.file_name for written in objects}


def check(source: SourceSlide, result: SlideResult, folder: Path, name: str = "") -> None:
    """Check all objects, or those whose name begins so."""
    objects = [written for written in objects_of(source, result) if written.kind.name.startswith(name)]
    check_result(source, result, objects, folder)


def test_what_was_written_right_passes(tmp_path, files, make_source, make_result):
    check(make_source(), make_result(), tmp_path)


@pytest.mark.parametrize("name", ["parametric-map", "annotations"])
def test_other_values_are_found(tmp_path, files, make_source, make_result, name):
    result = make_result()
    values = result.expression.values.copy()
    values[4, 0] += 0.01
    other = dataclasses.replace(result, expression=ExpressionTable(result.expression.genes, values))

    with pytest.raises(EncodingError, match="nothing of this result may be sent"):
        check(make_source(), other, tmp_path, name)


def test_another_tissue_mask_is_found(tmp_path, files, make_source, make_result):
    dataset = pydicom.dcmread(files["segmentation"])
    dataset.PixelData = b"\x01" + dataset.PixelData[1:]
    write_dicom(dataset, files["segmentation"])

    with pytest.raises(EncodingError, match="other segments"):
        check(make_source(), make_result(), tmp_path, "segmentation")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "P-2"),
        ("StudyInstanceUID", "2.25.5"),
        ("FrameOfReferenceUID", "2.25.5"),
        ("SOPInstanceUID", "2.25.5"),
        ("ContainerIdentifier", "other"),
    ],
)
def test_an_object_of_another_slide_is_found_without_naming_the_patient(
    tmp_path, files, make_source, make_result, keyword, value
):
    dataset = pydicom.dcmread(files["parametric-map"])
    setattr(dataset, keyword, value)
    write_dicom(dataset, files["parametric-map"])

    with pytest.raises(EncodingError) as caught:
        check(make_source(), make_result(), tmp_path, "parametric-map")

    assert "P-1" not in str(caught.value)
    assert "ller" not in str(caught.value)


@pytest.mark.parametrize("name", ["parametric-map", "segmentation", "gene-segmentation", "annotations", "report"])
def test_an_object_that_does_not_refer_to_the_slide_is_found(tmp_path, files, make_source, make_result, name):
    dataset = pydicom.dcmread(files[name])
    dataset.pop("ReferencedSeriesSequence", None)
    dataset.pop("CurrentRequestedProcedureEvidenceSequence", None)
    write_dicom(dataset, files[name])

    with pytest.raises(EncodingError, match="whole slide"):
        check(make_source(), make_result(), tmp_path, name)


def test_a_truncated_file_is_found(tmp_path, files, make_source, make_result):
    path = files["parametric-map"]
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(EncodingError):
        check(make_source(), make_result(), tmp_path, "parametric-map")


def test_a_file_that_is_not_dicom_is_found(tmp_path, make_source, make_result):
    path = tmp_path / "parametric-map.dcm"
    path.write_bytes(b"hello")

    with pytest.raises(EncodingError, match="cannot be read back"):
        check(make_source(), make_result(), tmp_path, "parametric-map")


def test_a_value_that_lost_its_scale_is_found(tmp_path, files, make_source, make_result):
    dataset = pydicom.dcmread(files["parametric-map"])
    item = dataset.PerFrameFunctionalGroupsSequence[1].RealWorldValueMappingSequence[0]
    item.RealWorldValueSlope = item.RealWorldValueSlope * 1.001
    write_dicom(dataset, files["parametric-map"])

    with pytest.raises(EncodingError, match="frame 2"):
        check(make_source(), make_result(), tmp_path, "parametric-map")


def test_values_beyond_the_grid_are_found(tmp_path, files, make_source, make_result):
    dataset = pydicom.dcmread(files["parametric-map"])
    pixels = dataset.pixel_array.copy()
    pixels[0, 0, 1] = 7
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    write_dicom(dataset, files["parametric-map"])

    with pytest.raises(EncodingError, match="values where there is no tile"):
        check(make_source(), make_result(), tmp_path, "parametric-map")


def test_an_object_that_lies_elsewhere_is_found(tmp_path, files, make_source, make_result):
    elsewhere = make_source(origin_mm=(20.5, 41.2501, 0.0))

    for name in ("parametric-map", "segmentation", "gene-segmentation", "annotations"):
        with pytest.raises(EncodingError):
            check(elsewhere, make_result(), tmp_path, name)
