import json
from pathlib import Path

import pydicom
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from tests.slide.painted import paint
from vst_dicom.cli.import_ import import_slide
from vst_dicom.domain.errors import PixelSpacingError, UsageError

app = typer.Typer()
app.command()(import_slide)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(paint(300, 400)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_import_writes_what_the_options_say(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [str(photo), "--out", str(out), "--pixel-spacing-um", "0.5,0.4", "--patient-id", "P1"]
    arguments += ["--patient-name", "Doe^Jane", "--patient-birth-date", "1960-02-03", "--patient-sex", "F"]
    arguments += ["--accession-number", "A1", "--container-id", "S26-1", "--specimen-id", "S26-1-A"]
    arguments += ["--study-uid", "1.2.3", "--anatomy", "76752008:Breast", "--frame-px", "128", "--json"]
    answer = CliRunner().invoke(app, arguments, catch_exceptions=False)
    facts = json.loads(answer.stdout)
    header = pydicom.dcmread(facts["files"][0])

    assert facts["pixel_spacing_um"] == [0.5, 0.4]
    assert facts["pixel_spacing_given"]
    assert (facts["rows"], facts["columns"], len(facts["files"])) == (300, 400, 3)
    assert (header.PatientID, str(header.PatientName), header.PatientBirthDate) == ("P1", "Doe^Jane", "19600203")
    assert (header.PatientSex, header.AccessionNumber, header.StudyInstanceUID) == ("F", "A1", "1.2.3")
    assert (header.ContainerIdentifier, header.Rows) == ("S26-1", 128)
    specimen = header.SpecimenDescriptionSequence[0]
    assert specimen.SpecimenIdentifier == "S26-1-A"
    assert specimen.PrimaryAnatomicStructureSequence[0].CodeValue == "76752008"


def test_import_without_stain_says_none(photo: Path, tmp_path: Path) -> None:
    arguments = [str(photo), "--out", str(tmp_path / "out"), "--pixel-spacing-um", "0.5", "--stain", "none"]
    answer = CliRunner().invoke(app, arguments, catch_exceptions=False)
    header = pydicom.dcmread(tmp_path / "out" / "level-0.dcm")

    assert "2 levels of 400 x 300 px at 0.5 x 0.5 µm/px" in answer.stdout
    assert not header.SpecimenDescriptionSequence[0].SpecimenPreparationSequence


@pytest.mark.parametrize("text", ["abc", "0", "-1", "0.5,", "0.5,0.5,0.5", "nan"])
def test_spacing_that_is_no_number_is_refused(photo: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="--pixel-spacing-um"):
        CliRunner().invoke(
            app, [str(photo), "--out", str(tmp_path / "out"), "--pixel-spacing-um", text], catch_exceptions=False
        )


def test_birth_date_of_another_form_is_refused_without_repeating_it(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        CliRunner().invoke(
            app, [str(photo), "--out", str(tmp_path / "out"), "--patient-birth-date", "3.2.60"], catch_exceptions=False
        )

    assert "3.2.60" not in str(caught.value)


def test_refused_input_writes_nothing(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(PixelSpacingError):
        CliRunner().invoke(app, [str(photo), "--out", str(tmp_path / "out")], catch_exceptions=False)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png"]
