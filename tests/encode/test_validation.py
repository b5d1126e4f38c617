"""Objects that a validator refuses do not leave."""

from pathlib import Path

import pydicom
import pytest

from conformance.write_findings import TARGET, render
from tests.encode.conftest import MakeResult, MakeSource
from tests.programs import needs_dciodvfy
from vst_dicom.domain.errors import EncodingError
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.encode.forms import result_objects, write_objects
from vst_dicom.encode.validation import accepted_findings, validate_objects, without_values
from vst_dicom.encode.writing import write_dicom


def write(folder, source, result):
    objects = result_objects(source, result, frozenset({ResultForm.SEGMENTATION}), Encoding(fractional_segments=False))
    write_objects(objects, folder)
    return objects


def change(path: Path, keyword: str, value: object) -> None:
    dataset = pydicom.dcmread(path)
    setattr(dataset, keyword, value)
    write_dicom(dataset, path)


@needs_dciodvfy
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_a_refused_object_names_the_finding_without_values(
    tmp_path: Path, make_source: MakeSource, make_result: MakeResult
) -> None:
    source = make_source()
    objects = write(tmp_path, source, make_result())
    change(tmp_path / "segmentation.dcm", "SegmentsOverlap", "Secret")

    with pytest.raises(EncodingError, match=r"segmentation.dcm breaks the standard.*SegmentsOverlap") as caught:
        validate_objects(source, objects, tmp_path)

    assert "Secret" not in str(caught.value)


@needs_dciodvfy
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_what_the_slide_itself_says_wrongly_refuses_no_result(
    tmp_path: Path, make_source: MakeSource, make_result: MakeResult
) -> None:
    source = make_source()
    source.header.PatientSex = "female"
    source.header.StudyID = "longer than 16 characters"

    validate_objects(source, write(tmp_path, source, make_result()), tmp_path)


@needs_dciodvfy
def test_a_slide_that_names_its_glass_but_not_what_lies_on_it_gets_valid_results(
    tmp_path: Path, make_source: MakeSource, make_result: MakeResult
) -> None:
    source = make_source()
    del source.header.SpecimenDescriptionSequence
    objects = result_objects(source, make_result(), frozenset(ResultForm), Encoding())
    write_objects(objects, tmp_path)

    validate_objects(source, objects, tmp_path)


@needs_dciodvfy
def test_what_the_slide_does_not_say_is_no_excuse(
    tmp_path: Path, make_source: MakeSource, make_result: MakeResult
) -> None:
    source = make_source()
    del source.header.StudyID
    objects = write(tmp_path, source, make_result())
    dataset = pydicom.dcmread(tmp_path / "segmentation.dcm")
    del dataset.StudyID
    write_dicom(dataset, tmp_path / "segmentation.dcm")

    with pytest.raises(EncodingError, match="StudyID"):
        validate_objects(source, objects, tmp_path)


def test_without_the_validator_nothing_is_refused(
    tmp_path: Path, make_source: MakeSource, make_result: MakeResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = make_source()

    validate_objects(source, write(tmp_path, source, make_result()), tmp_path)


def test_a_validator_that_dies_lets_nothing_pass(
    tmp_path: Path, make_source: MakeSource, make_result: MakeResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dciodvfy"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    source = make_source()

    with pytest.raises(EncodingError, match=r"died of segmentation.dcm \(signal 9\)"):
        validate_objects(source, write(tmp_path, source, make_result()), tmp_path)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Error - </PatientSex(0010,0040)[1]> - Unrecognized enumerated value = <Doe>", "</PatientSex(0010,0040)> - "),
        (
            "Error - </StudyDate(0008,0020)[1]> - Value invalid for this VR [DA] = <1> - Character = 'x' (0x78)",
            "</StudyDate(0008,0020)> - Value invalid for this VR [DA]",
        ),
    ],
)
def test_what_may_name_the_patient_is_left_out(line: str, shown: str) -> None:
    said = without_values(line)

    assert shown in said
    assert "Doe" not in said
    assert "'x'" not in said


def test_every_accepted_finding_says_why_and_where() -> None:
    for known in accepted_findings():
        assert known.reason.endswith(".")
        assert known.reference.startswith("PS3.")


def test_the_table_for_people_is_made_from_the_table_for_machines() -> None:
    assert TARGET.read_text(encoding="utf-8") == render()
