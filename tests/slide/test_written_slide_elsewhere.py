"""What other programs make of a written slide."""

import subprocess
from pathlib import Path

import numpy as np
import openslide
import pytest
import wsidicom

from tests.programs import needs_dcentvfy, needs_dciodvfy
from tests.slide.painted import PaintedSource, paint
from tests.slide.written import write, write_labeled
from vst_dicom.domain.geometry import PixelSpacing


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_labeled(tmp_path_factory.mktemp("slide") / "out")


@needs_dciodvfy
def test_dciodvfy_finds_no_error(written: list[Path]) -> None:
    for path in written:
        answer = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        assert "VLWholeSlideMicroscopyImage" in answer.stderr
        assert "Error" not in answer.stderr


@needs_dcentvfy
def test_dcentvfy_finds_the_series_consistent(written: list[Path]) -> None:
    answer = subprocess.run(["dcentvfy", *map(str, written)], capture_output=True, text=True, check=False)

    assert answer.stdout + answer.stderr == ""


def test_openslide_reads_pixels_spacing_and_label(written: list[Path]) -> None:
    with openslide.OpenSlide(written[0]) as slide:
        assert slide.level_dimensions == ((2003, 1501), (1002, 751), (501, 376), (251, 188))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.4)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5)
        assert slide.associated_images["label"].size == (401, 300)
        found = np.asarray(slide.read_region((1800, 1400), 0, (203, 101)).convert("RGB"))
    assert np.abs(found.astype(int) - paint(1501, 2003)[1400:, 1800:]).mean() < 1.5


def test_wsidicom_takes_all_levels_for_one_slide(written: list[Path]) -> None:
    with wsidicom.WsiDicom.open(written[0].parent) as slide:
        assert len(slide.pyramids) == 1
        assert [(level.size.width, level.size.height) for level in slide.pyramid] == [
            (2003, 1501),
            (1002, 751),
            (501, 376),
            (251, 188),
        ]
        found = np.asarray(slide.read_region((1800, 1400), 0, (203, 101)))
    assert np.abs(found.astype(int) - paint(1501, 2003)[1400:, 1800:]).mean() < 1.5


def test_coarse_levels_stay_in_one_pyramid_for_wsidicom(tmp_path: Path) -> None:
    source = PaintedSource(paint(1100, 5000), frame_px=500, spacing=PixelSpacing.from_um(2.0))
    write(tmp_path / "out", source, frame_px=64)

    with wsidicom.WsiDicom.open(tmp_path / "out") as slide:
        assert [len(pyramid) for pyramid in slide.pyramids] == [8]
