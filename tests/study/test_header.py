import hashlib
from pathlib import Path

import pytest
from pydicom.filewriter import dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.study.headers import slide_header, write_header
from tests.wsi_builder import Wsi, paint, write_wsi
from vst_dicom.domain.errors import DamagedInstanceError, UnsupportedInstanceError
from vst_dicom.study import header as module
from vst_dicom.study.header import hash_data_set, read_header


def test_the_header_is_read_without_pixels_and_frames(tmp_path: Path) -> None:
    header = read_header(write_wsi(tmp_path / "a.dcm", Wsi([paint(64, 64)], sparse=True)))

    assert header.ContainerIdentifier == "S1"
    assert "PixelData" not in header
    assert "PerFrameFunctionalGroupsSequence" not in header


def test_a_file_that_is_no_dicom_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(b"no DICOM at all" * 100)

    with pytest.raises(DamagedInstanceError):
        read_header(path)
    with pytest.raises(DamagedInstanceError):
        hash_data_set(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "none.dcm")


def test_a_deflated_data_set_is_refused_before_it_inflates(tmp_path: Path) -> None:
    header = slide_header("1.1")
    path = write_header(tmp_path / "a.dcm", header)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(path, header, enforce_file_format=True)

    with pytest.raises(UnsupportedInstanceError, match="deflated"):
        read_header(path)


def test_a_header_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_header(tmp_path / "a.dcm", slide_header("1.1", ImageComments="x" * 8000))
    monkeypatch.setattr(module, "_MOST_HEADER_BYTES", 4000)

    with pytest.raises(DamagedInstanceError, match="larger than"):
        read_header(path)


def test_a_huge_value_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_header(tmp_path / "a.dcm", slide_header("1.1", ImageComments="x" * 8000))
    monkeypatch.setattr(module, "_MOST_HEADER_BYTES", 4000)
    monkeypatch.setattr(module, "_MOST_VALUE_BYTES", 2000)

    assert read_header(path).ContainerIdentifier == "S1"


def test_the_hash_is_of_the_data_set_only(tmp_path: Path) -> None:
    header = slide_header("1.1")
    path = write_header(tmp_path / "a.dcm", header)
    header.file_meta.SourceApplicationEntityTitle = "SCANNER1"
    other = tmp_path / "b.dcm"
    dcmwrite(other, header, enforce_file_format=True)
    body = path.read_bytes()[144 + int.from_bytes(path.read_bytes()[140:144], "little") :]

    assert path.read_bytes() != other.read_bytes()
    assert hash_data_set(path) == hash_data_set(other) == hashlib.sha256(body).hexdigest()


def test_the_hash_tells_a_changed_header(tmp_path: Path) -> None:
    one = write_header(tmp_path / "a.dcm", slide_header("1.1"))
    other = write_header(tmp_path / "b.dcm", slide_header("1.1", PatientID="PID-4712"))

    assert hash_data_set(one) != hash_data_set(other)
