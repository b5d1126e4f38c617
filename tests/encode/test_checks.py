import dataclasses

import numpy as np
import pydicom
import pytest

from vst_dicom.domain.errors import EncodingError
from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.encode.annotations import encode_annotations
from vst_dicom.encode.checks import check_result
from vst_dicom.encode.parametric_map import encode_parametric_map
from vst_dicom.encode.report import encode_report
from vst_dicom.encode.segmentation import encode_segmentation
from vst_dicom.encode.writing import write_dicom


@pytest.fixture
def files(tmp_path, make_source, make_result):
    paths = {}
    for encode in (encode_parametric_map, encode_segmentation, encode_annotations, encode_report):
        paths[encode.__name__.removeprefix("encode_")] = path = tmp_path / f"{encode.__name__}.dcm"
        write_dicom(encode(make_source(), make_result()), path)
    return paths


def test_what_was_written_right_passes(files, make_source, make_result):
    check_result(make_source(), make_result(), files.values())


@pytest.mark.parametrize("name", ["parametric_map", "annotations"])
def test_other_values_are_found(files, make_source, make_result, name):
    result = make_result()
    values = result.expression.values.copy()
    values[4, 0] += 0.01
    other = dataclasses.replace(result, expression=ExpressionTable(result.expression.genes, values))

    with pytest.raises(EncodingError, match="nothing of this result may be sent"):
        check_result(make_source(), other, [files[name]])


def test_another_tissue_mask_is_found(files, make_source, make_result):
    dataset = pydicom.dcmread(files["segmentation"])
    dataset.PixelData = b"\x01" + dataset.PixelData[1:]
    write_dicom(dataset, files["segmentation"])

    with pytest.raises(EncodingError, match="other segments"):
        check_result(make_source(), make_result(), [files["segmentation"]])


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
    files, make_source, make_result, keyword, value
):
    dataset = pydicom.dcmread(files["parametric_map"])
    setattr(dataset, keyword, value)
    write_dicom(dataset, files["parametric_map"])

    with pytest.raises(EncodingError) as caught:
        check_result(make_source(), make_result(), [files["parametric_map"]])

    assert "P-1" not in str(caught.value)
    assert "ller" not in str(caught.value)


@pytest.mark.parametrize("name", ["parametric_map", "segmentation", "annotations", "report"])
def test_an_object_that_does_not_refer_to_the_slide_is_found(files, make_source, make_result, name):
    dataset = pydicom.dcmread(files[name])
    dataset.pop("ReferencedSeriesSequence", None)
    dataset.pop("CurrentRequestedProcedureEvidenceSequence", None)
    write_dicom(dataset, files[name])

    with pytest.raises(EncodingError, match="whole slide"):
        check_result(make_source(), make_result(), [files[name]])


def test_a_truncated_file_is_found(files, make_source, make_result):
    path = files["parametric_map"]
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(EncodingError):
        check_result(make_source(), make_result(), [path])


def test_a_file_that_is_not_dicom_is_found(tmp_path, make_source, make_result):
    path = tmp_path / "not.dcm"
    path.write_bytes(b"hello")

    with pytest.raises(EncodingError, match="cannot be read back"):
        check_result(make_source(), make_result(), [path])


def test_a_value_that_lost_its_scale_is_found(files, make_source, make_result):
    dataset = pydicom.dcmread(files["parametric_map"])
    item = dataset.PerFrameFunctionalGroupsSequence[1].RealWorldValueMappingSequence[0]
    item.RealWorldValueSlope = item.RealWorldValueSlope * 1.001
    write_dicom(dataset, files["parametric_map"])

    with pytest.raises(EncodingError, match="gene 2"):
        check_result(make_source(), make_result(), [files["parametric_map"]])


def test_values_beyond_the_grid_are_found(files, make_source, make_result):
    dataset = pydicom.dcmread(files["parametric_map"])
    pixels = dataset.pixel_array.copy()
    pixels[0, 0, 1] = 7
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    write_dicom(dataset, files["parametric_map"])

    with pytest.raises(EncodingError, match="tissue where the grid has none"):
        check_result(make_source(), make_result(), [files["parametric_map"]])


def test_an_object_that_lies_elsewhere_is_found(files, make_source, make_result):
    elsewhere = make_source(origin_mm=(20.5, 41.2501, 0.0))

    for name in ("parametric_map", "segmentation", "annotations"):
        with pytest.raises(EncodingError):
            check_result(elsewhere, make_result(), [files[name]])
