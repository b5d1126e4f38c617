import pydicom
import pytest

from tests.encode.maps import encode_expression
from vst_dicom.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from vst_dicom.encode.annotations import encode_annotations
from vst_dicom.encode.report import encode_report
from vst_dicom.encode.segmentation import encode_segmentation
from vst_dicom.encode.writing import write_dicom
from vst_dicom.files import whole_file


@pytest.mark.parametrize("encode", [encode_expression, encode_segmentation, encode_annotations, encode_report])
def test_the_same_result_gives_the_same_bytes(tmp_path, make_source, make_result, encode):
    first, second = tmp_path / "a.dcm", tmp_path / "b.dcm"
    write_dicom(encode(make_source(), make_result()), first)
    write_dicom(encode(make_source(), make_result()), second)

    assert first.read_bytes() == second.read_bytes()


def test_the_file_names_this_implementation(tmp_path, make_source, make_result):
    path = tmp_path / "a.dcm"
    dataset = encode_segmentation(make_source(), make_result())
    write_dicom(dataset, path)

    meta = pydicom.dcmread(path).file_meta

    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError

    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"
