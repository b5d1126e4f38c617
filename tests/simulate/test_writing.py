import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import generate_frames

from tests.programs import needs_dciodvfy
from vst_dicom.domain.errors import ResourceError, UsageError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.simulate import writing
from vst_dicom.simulate.regions import Region
from vst_dicom.simulate.stain import Stain
from vst_dicom.simulate.writing import SlideRecipe, WrittenSlide, write_simulated_slide

RECIPE = SlideRecipe(MatrixSize(701, 901), PixelSpacing.from_um(0.5, 0.4), seed=42)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> WrittenSlide:
    return write_simulated_slide(RECIPE, tmp_path_factory.mktemp("simulated") / "out", now=NOON)


def test_the_base_level_has_the_size_and_spacing_asked_for(written: WrittenSlide) -> None:
    base = pydicom.dcmread(written.instances[0], stop_before_pixels=True)

    assert (base.TotalPixelMatrixRows, base.TotalPixelMatrixColumns) == (701, 901)
    spacing = base.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(value) for value in spacing] == [0.0005, 0.0004]


def test_nobody_can_take_the_patient_for_a_real_one(written: WrittenSlide) -> None:
    for path in written.instances:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        assert dataset.PatientName == "SPECIMEN^SIMULATED"
        assert dataset.PatientID == "SIM-42"
        assert "simulated" in " ".join(np.atleast_1d(dataset.SoftwareVersions))


def test_the_last_instance_is_the_label(written: WrittenSlide) -> None:
    label = pydicom.dcmread(written.instances[-1])

    assert "LABEL" in label.ImageType
    assert label.pixel_array.min() < 80 < 200 < label.pixel_array.max()


def test_the_truth_is_an_indexed_picture_with_its_classes_named(written: WrittenSlide) -> None:
    facts = json.loads(written.truth_facts.read_text(encoding="utf-8"))
    with Image.open(written.truth_picture) as picture:
        labels = np.asarray(picture)
        mode = picture.mode

    assert mode == "P"
    assert labels.shape == (22, 23)  # 350.5 µm and 360.4 µm in squares of 16 µm
    assert facts["classes"] == {"0": "glass", "1": "stroma", "2": "tumor", "3": "lymphoid", "4": "fat"}
    assert set(np.unique(labels)) <= set(Region)
    assert facts["truth_pixel_um"] == 16
    assert (facts["rows"], facts["columns"], facts["seed"]) == (701, 901, 42)
    assert facts["pixel_spacing_um"] == [0.4, 0.5]


def test_the_same_recipe_gives_the_same_identifiers_and_frames(written: WrittenSlide, tmp_path: Path) -> None:
    later = datetime(2027, 5, 6, tzinfo=UTC)
    again = write_simulated_slide(RECIPE, tmp_path / "again", now=later)

    assert [path.name for path in again.instances] == [path.name for path in written.instances]
    for first, second in zip(written.instances, again.instances, strict=True):
        a, b = pydicom.dcmread(first), pydicom.dcmread(second)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            assert a.get(keyword) == b.get(keyword)
        frames = [list(generate_frames(x.PixelData, number_of_frames=int(x.get("NumberOfFrames", 1)))) for x in (a, b)]
        assert frames[0] == frames[1]
    assert again.truth_picture.read_bytes() == written.truth_picture.read_bytes()


@pytest.mark.parametrize(
    "other",
    [
        SlideRecipe(RECIPE.size, RECIPE.spacing, seed=43),
        SlideRecipe(MatrixSize(702, 901), RECIPE.spacing, seed=42),
        SlideRecipe(RECIPE.size, PixelSpacing.from_um(0.5), seed=42),
        SlideRecipe(RECIPE.size, RECIPE.spacing, seed=42, stain=Stain.PALE),
    ],
)
def test_another_slide_gets_other_identifiers(other: SlideRecipe) -> None:
    assert other.uid_seed != RECIPE.uid_seed


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")

    with pytest.raises(UsageError, match="choose another --out"):
        write_simulated_slide(RECIPE, tmp_path, now=NOON)

    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_when_the_truth_cannot_be_written_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ResourceError("disk full")

    monkeypatch.setattr(writing, "_write_truth", fail)
    small = SlideRecipe(MatrixSize(256, 256), PixelSpacing.from_um(0.5), seed=1)
    with pytest.raises(ResourceError):
        write_simulated_slide(small, tmp_path / "out", now=NOON)

    assert not (tmp_path / "out").exists()


@needs_dciodvfy
def test_dciodvfy_finds_no_error(written: WrittenSlide) -> None:
    for path in written.instances:
        answer = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        errors = [line for line in (answer.stdout + answer.stderr).splitlines() if line.startswith("Error")]
        assert errors == []
