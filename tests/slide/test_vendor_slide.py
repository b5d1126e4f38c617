import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.slide.painted import paint, write_tiled_tiff
from vst_dicom.dicom.frames import halve
from vst_dicom.domain.errors import (
    DamagedInstanceError,
    MissingInputError,
    NotDicomError,
    PixelSpacingError,
    UsageError,
)
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.slide.description import SlideDescription
from vst_dicom.slide.vendor import open_vendor_slide
from vst_dicom.slide.writing import write_planned_pyramid

APERIO = "Aperio Image Library v1|AppMag = 40|MPP = 0.2500|ScanScope ID = SS1234|Date = 12/29/09|Time = 09:59:15"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def svs(tmp_path: Path) -> Path:
    """Two levels, the second a quarter, sizes rounded down as scanners do."""
    base = paint(901, 1203)
    path = tmp_path / "slide.svs"
    write_tiled_tiff(path, [base, halve(halve(base))[:225, :300]], description=APERIO)
    return path


def test_levels_know_size_frame_and_true_spacing(svs: Path) -> None:
    with open_vendor_slide(svs) as slide:
        assert [level.size for level in slide.levels] == [MatrixSize(901, 1203), MatrixSize(225, 300)]
        assert [level.spacing.column_um for level in slide.levels] == pytest.approx([0.25, 1.0])
        assert slide.levels[0].frame_size == MatrixSize(256, 256)


def test_frames_hold_the_pixels_and_glass_beyond(svs: Path) -> None:
    with open_vendor_slide(svs) as slide:
        inner, corner = slide.read_frame(0, 1, 2), slide.read_frame(0, 3, 4)

    assert inner is not None
    assert corner is not None
    assert np.abs(inner.astype(int) - paint(901, 1203)[256:512, 512:768]).mean() < 2
    assert np.abs(corner[:133, :179].astype(int) - paint(901, 1203)[768:, 1024:]).mean() < 2
    assert corner[133:].min() == 255
    assert corner[:, 179:].min() == 255


@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_reduced_frame_is_the_area_mean(svs: Path, reduce: int) -> None:
    with open_vendor_slide(svs) as slide:
        whole, reduced = slide.read_frame(0, 1, 2), slide.read_frame(0, 1, 2, reduce)

    assert whole is not None
    assert reduced is not None
    side = 256 // reduce
    expected = whole.reshape(side, reduce, side, reduce, 3).mean(axis=(1, 3))
    assert np.abs(reduced - expected).max() <= 1


def test_frames_may_be_read_from_several_threads(svs: Path) -> None:
    with open_vendor_slide(svs) as slide, ThreadPoolExecutor(4) as pool:
        places = [(row, column) for row in range(4) for column in range(5)] * 5
        frames = list(pool.map(lambda place: slide.read_frame(0, *place), places))
        for place, frame in zip(places, frames, strict=True):
            assert np.array_equal(frame, slide.read_frame(0, *place))


def test_header_is_the_one_that_the_import_writes(svs: Path, tmp_path: Path) -> None:
    description = SlideDescription(patient_id="P1", container_identifier="S26-1")
    with open_vendor_slide(svs, description=description, now=NOW) as slide:
        paths = write_planned_pyramid(slide, slide.plan, tmp_path / "out")
        header: Dataset = slide.source.header
    imported = pydicom.dcmread(paths[0], stop_before_pixels=True)
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        del imported[keyword]

    assert {element.keyword for element in imported} == {element.keyword for element in header}
    for element in imported:
        if element.VR != "SQ":
            assert element.value == header[element.tag].value, element.keyword
    assert imported.SpecimenDescriptionSequence == header.SpecimenDescriptionSequence


def test_same_content_elsewhere_has_the_same_identity(svs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.svs"
    copy.write_bytes(svs.read_bytes())
    with open_vendor_slide(svs) as first, open_vendor_slide(copy) as second:
        assert first.source.header.SOPInstanceUID == second.source.header.SOPInstanceUID
        assert first.source.content_sha256 == hashlib.sha256(svs.read_bytes()).hexdigest()


def test_other_spacing_is_another_slide(svs: Path) -> None:
    with open_vendor_slide(svs) as first, open_vendor_slide(svs, pixel_spacing=PixelSpacing.from_um(0.5)) as second:
        assert first.source.frame_of_reference_uid != second.source.frame_of_reference_uid


def test_scanner_and_scan_time_come_from_the_file(svs: Path) -> None:
    with open_vendor_slide(svs) as slide:
        header = slide.source.header

    assert header.Manufacturer == "Leica Biosystems (Aperio)"
    assert header.DeviceSerialNumber == "SS1234"
    assert header.AcquisitionDateTime == "20091229095915"
    assert header.StudyDate == "20091229"


def test_description_stands_above_the_file(svs: Path) -> None:
    description = SlideDescription(manufacturer="Mine", acquired=datetime(2020, 5, 6, 7, 8, 9))
    with open_vendor_slide(svs, description=description) as slide:
        assert slide.source.header.Manufacturer == "Mine"
        assert slide.source.header.AcquisitionDateTime == "20200506070809"


def test_compression_of_the_file_is_remembered(svs: Path) -> None:
    with open_vendor_slide(svs) as slide:
        (step,) = slide.plan.earlier_compression

    assert step.method == "ISO_10918_1"
    assert step.ratio > 5


def test_given_spacing_replaces_the_stated_one_with_a_warning(svs: Path) -> None:
    with open_vendor_slide(svs, pixel_spacing=PixelSpacing.from_um(0.4, 0.5)) as slide:
        assert slide.levels[0].spacing.row_um == pytest.approx(0.4)
        assert slide.levels[0].spacing.column_um == pytest.approx(0.5)
        assert slide.source.spacing_assumed
        assert "replaces 0.25 x 0.25 µm" in slide.source.warnings[0]


def test_resolution_tags_give_x_and_y_apart(tmp_path: Path) -> None:
    path = tmp_path / "tiled.tif"
    write_tiled_tiff(path, [paint(300, 400)], resolution=(20_000, 25_000))
    with open_vendor_slide(path) as slide:
        assert slide.levels[0].spacing.column_um == pytest.approx(0.5)
        assert slide.levels[0].spacing.row_um == pytest.approx(0.4)
        assert not slide.source.spacing_assumed
        assert "TIFF resolution tags" in slide.source.warnings[0]


def test_resolution_of_a_printer_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "tiled.tif"
    write_tiled_tiff(path, [paint(300, 400)], resolution=(28, 28))
    with pytest.raises(PixelSpacingError, match="--pixel-spacing-um"):
        open_vendor_slide(path)


def test_slide_without_spacing_names_the_option(tmp_path: Path) -> None:
    path = tmp_path / "tiled.tif"
    write_tiled_tiff(path, [paint(300, 400)])
    with pytest.raises(PixelSpacingError, match="--pixel-spacing-um"):
        open_vendor_slide(path)


@pytest.mark.parametrize("um", [0.001, 50.0])
def test_impossible_given_spacing_is_refused(svs: Path, um: float) -> None:
    with pytest.raises(PixelSpacingError, match="was given"):
        open_vendor_slide(svs, pixel_spacing=PixelSpacing.from_um(um))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="check the name"):
        open_vendor_slide(tmp_path / "nothing.svs")


def test_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.svs").write_bytes(b"")
    with pytest.raises(DamagedInstanceError, match="0 bytes"):
        open_vendor_slide(tmp_path / "empty.svs")


def test_cut_slide_is_refused(svs: Path) -> None:
    svs.write_bytes(svs.read_bytes()[: svs.stat().st_size // 2])
    with pytest.raises(DamagedInstanceError, match="copy it again"):
        open_vendor_slide(svs)


def test_damaged_tile_is_refused_when_read(svs: Path) -> None:
    content = bytearray(svs.read_bytes())
    content[8:2008] = bytes(2000)
    svs.write_bytes(content)
    with open_vendor_slide(svs) as slide, pytest.raises(DamagedInstanceError):
        slide.read_frame(0, 0, 0)


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a slide, and long enough to hold more than a preamble " * 5)
    with pytest.raises(NotDicomError, match="neither DICOM nor"):
        open_vendor_slide(tmp_path / "notes.txt")


def test_dicom_is_not_imported_again(tmp_path: Path) -> None:
    (tmp_path / "level-0.dcm").write_bytes(bytes(128) + b"DICM" + bytes(100))
    with pytest.raises(UsageError, match="DICOM already"):
        open_vendor_slide(tmp_path / "level-0.dcm")
