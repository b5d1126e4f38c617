import errno
import io
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from tests.slide.painted import PaintedSource, paint
from tests.slide.written import DESCRIPTION, NOW, read_matrix, write, write_labeled
from vst_dicom.dicom.frames import halve
from vst_dicom.domain.errors import DamagedInstanceError, ResourceError, UsageError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing, SlidePlane
from vst_dicom.domain.pixels import RgbImage
from vst_dicom.slide import encapsulation
from vst_dicom.slide.description import SlideDescription
from vst_dicom.slide.pyramid import LossyStep, PyramidPlan, upright_plane


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_labeled(tmp_path_factory.mktemp("slide") / "out")


def test_levels_are_halved_rounding_up_until_one_frame_holds_the_slide() -> None:
    plan = PyramidPlan(DESCRIPTION, "seed", NOW, MatrixSize(1025, 600), upright_plane(PixelSpacing.from_um(0.5)))

    assert [(size.n_rows, size.n_columns) for size in plan.level_sizes] == [
        (1025, 600),
        (513, 300),
        (257, 150),
        (129, 75),
    ]


def test_base_level_holds_the_pixels_of_the_source(written: list[Path]) -> None:
    error = np.abs(read_matrix(written[0]).astype(int) - paint(1501, 2003))

    assert error.mean() < 1.0
    assert error.max() < 20


def test_each_level_is_the_area_mean_of_the_base(written: list[Path]) -> None:
    base = paint(1501, 2003)[:1496, :2000].astype(float)
    for level, path in enumerate(written[1:4], start=1):
        block = 2**level
        expected = base.reshape(1496 // block, block, 2000 // block, block, 3).mean(axis=(1, 3))
        found = read_matrix(path)[: expected.shape[0], : expected.shape[1]]
        errors = found - expected
        assert np.abs(errors).mean() < 3  # chroma at half resolution
        assert np.abs(errors.mean()) < 0.5  # no rounding up or down, no shift


def test_halve_averages_four_pixels_and_repeats_odd_ends() -> None:
    image = np.array([[[10], [20], [30]], [[30], [40], [50]], [[8], [8], [4]]], dtype=np.uint8).repeat(3, axis=2)

    assert halve(image)[..., 0].tolist() == [[25, 40], [8, 4]]


def test_pixel_spacing_names_rows_first_and_doubles_per_level(written: list[Path]) -> None:
    spacings = [
        list(map(float, pydicom.dcmread(path).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing))
        for path in written[:3]
    ]

    assert spacings == [[0.0005, 0.0004], [0.001, 0.0008], [0.002, 0.0016]]


def test_unknown_place_puts_the_outer_corner_at_the_slide_origin(written: list[Path]) -> None:
    header = pydicom.dcmread(written[0], stop_before_pixels=True)
    origin = header.TotalPixelMatrixOriginSequence[0]

    assert list(header.ImageOrientationSlide) == [0, 1, 0, 1, 0, 0]
    assert (origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem) == (0.00025, 0.0002)


def test_default_plane_is_not_mirrored() -> None:
    orientation = upright_plane(PixelSpacing.from_um(0.5)).orientation

    assert np.cross(orientation[:3], orientation[3:]).tolist() == [0, 0, -1]


def test_given_plane_is_written_at_every_level(tmp_path: Path) -> None:
    plane = SlidePlane((23.449873, 25.691574, 0.001), (0, -1, 0, -1, 0, 0), PixelSpacing.from_um(0.25, 0.3))
    for path in write(tmp_path / "out", plane=plane):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        origin = header.TotalPixelMatrixOriginSequence[0]
        assert list(header.ImageOrientationSlide) == [0, -1, 0, -1, 0, 0]
        assert origin.XOffsetInSlideCoordinateSystem == 23.449873
        assert origin.YOffsetInSlideCoordinateSystem == 25.691574
        assert origin.ZOffsetInSlideCoordinateSystem == 0.001


def test_frames_are_tiled_full_and_counted(written: list[Path]) -> None:
    header = pydicom.dcmread(written[0], stop_before_pixels=True)

    assert header.DimensionOrganizationType == "TILED_FULL"
    assert (header.Rows, header.Columns, header.NumberOfFrames) == (256, 256, 6 * 8)
    assert "PerFrameFunctionalGroupsSequence" not in header


def test_image_type_says_which_level_was_scanned(written: list[Path]) -> None:
    types = ["\\".join(pydicom.dcmread(path, stop_before_pixels=True).ImageType) for path in written]

    assert types == [
        "ORIGINAL\\PRIMARY\\VOLUME\\NONE",
        *["DERIVED\\PRIMARY\\VOLUME\\RESAMPLED"] * 3,
        "ORIGINAL\\PRIMARY\\LABEL\\NONE",
    ]


def test_chroma_is_sampled_as_the_photometric_interpretation_says(written: list[Path]) -> None:
    dataset = pydicom.dcmread(written[0])
    frame = next(generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames))
    start = frame.index(b"\xff\xc0")  # baseline frame header
    sampling = [frame[start + 11 + 3 * component] for component in range(3)]

    assert dataset.PhotometricInterpretation == "YBR_FULL_422"
    assert sampling == [0x21, 0x11, 0x11]


def test_label_is_marked_as_showing_text(written: list[Path]) -> None:
    label = pydicom.dcmread(written[-1])

    assert (label.SpecimenLabelInImage, label.BurnedInAnnotation) == ("YES", "YES")
    assert (label.TotalPixelMatrixRows, label.TotalPixelMatrixColumns, label.NumberOfFrames) == (300, 401, 1)
    assert "PyramidUID" not in label
    assert np.abs(read_matrix(written[-1]).astype(int) - paint(300, 401)).mean() < 1.5


def test_slide_itself_is_marked_as_free_of_text(written: list[Path]) -> None:
    base = pydicom.dcmread(written[0], stop_before_pixels=True)

    assert (base.SpecimenLabelInImage, base.BurnedInAnnotation) == ("NO", "NO")


def test_preparation_names_fixation_embedding_and_stains(written: list[Path]) -> None:
    specimen = pydicom.dcmread(written[0], stop_before_pixels=True).SpecimenDescriptionSequence[0]
    values = [
        item.ConceptCodeSequence[0].CodeValue
        for step in specimen.SpecimenPreparationSequence
        for item in step.SpecimenPreparationStepContentItemSequence
        if item.ValueType == "CODE"
    ]

    assert values == ["9265001", "434162003", "9265001", "311731000", "127790008", "12710003", "36879007"]
    assert specimen.PrimaryAnatomicStructureSequence[0].CodeMeaning == "Breast"


def test_unstained_slide_names_no_stain(tmp_path: Path) -> None:
    path = write(tmp_path / "out", description=SlideDescription(stained_with_he=False))[0]

    assert not pydicom.dcmread(path).SpecimenDescriptionSequence[0].SpecimenPreparationSequence


def test_unknown_identity_stays_empty_but_the_glass_gets_a_name(tmp_path: Path) -> None:
    header = pydicom.dcmread(write(tmp_path / "out", description=SlideDescription())[0])

    assert (header.PatientID, str(header.PatientName), header.StudyDate) == ("", "", "")
    assert header.ContainerIdentifier.startswith("SLIDE-")
    assert header.AcquisitionDateTime == "20260102030405+0000"


def test_lossy_history_lists_every_step(tmp_path: Path) -> None:
    path = write(tmp_path / "out", earlier_compression=(LossyStep("ISO_15444_1", 20.0),))[0]
    dataset = pydicom.dcmread(path)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames))
    own_ratio = len(frames) * 256 * 256 * 3 / sum(map(len, frames))

    assert list(dataset.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_10918_1"]
    assert list(dataset.LossyImageCompressionRatio) == [20.0, pytest.approx(own_ratio, abs=0.005)]


def test_basic_offsets_point_at_the_frames(written: list[Path]) -> None:
    dataset = pydicom.dcmread(written[0])
    n_bytes = struct.unpack_from("<4xI", dataset.PixelData)[0]
    offsets = struct.unpack_from(f"<{n_bytes // 4}I", dataset.PixelData, 8)

    assert len(offsets) == dataset.NumberOfFrames
    for offset in offsets:
        item = dataset.PixelData[8 + n_bytes + offset :][:10]
        assert item[:4] == b"\xfe\xff\x00\xe0"
        assert item[8:] == b"\xff\xd8"


def test_extended_offsets_serve_when_32_bits_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encapsulation, "_MAX_BASIC_OFFSET", 10)
    dataset = pydicom.dcmread(write(tmp_path / "out")[0])
    n_frames = dataset.NumberOfFrames
    offsets = struct.unpack(f"<{n_frames}Q", dataset.ExtendedOffsetTable)
    lengths = struct.unpack(f"<{n_frames}Q", dataset.ExtendedOffsetTableLengths)

    assert dataset.PixelData[:8] == b"\xfe\xff\x00\xe0\0\0\0\0"
    for offset, length in zip(offsets, lengths, strict=True):
        frame = dataset.PixelData[8 + offset + 8 :][:length]
        assert np.asarray(Image.open(io.BytesIO(frame))).shape == (256, 256, 3)


def test_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b")

    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_other_encoding_makes_other_instances_of_the_same_glass(tmp_path: Path) -> None:
    first = pydicom.dcmread(write(tmp_path / "a")[0])
    second = pydicom.dcmread(write(tmp_path / "b", jpeg_quality=60)[0])

    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID


def test_other_patient_never_shares_an_identifier(tmp_path: Path) -> None:
    first = pydicom.dcmread(write(tmp_path / "a", description=SlideDescription(patient_id="P1"))[0])
    second = pydicom.dcmread(write(tmp_path / "b", description=SlideDescription(patient_id="P2"))[0])

    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert first[keyword].value != second[keyword].value


def test_frame_that_the_source_does_not_store_becomes_glass(tmp_path: Path) -> None:
    source = PaintedSource(np.zeros((256, 512, 3), dtype=np.uint8), frame_px=256, missing=frozenset({(0, 1)}))
    matrix = read_matrix(write(tmp_path / "out", source)[0])

    assert matrix[:, :256].max() == 0
    assert matrix[:, 256:].min() == 255


@settings(max_examples=15, deadline=None)
@given(
    n_rows=st.integers(1, 400), n_columns=st.integers(1, 400), source_px=st.integers(16, 300),
    frame_px=st.sampled_from([64, 128, 256]),
)  # fmt: skip
def test_any_frames_of_the_source_give_the_same_slide(
    tmp_path_factory: pytest.TempPathFactory, n_rows: int, n_columns: int, source_px: int, frame_px: int
) -> None:
    pixels = paint(n_rows, n_columns)
    folder = tmp_path_factory.mktemp("any")
    paths = write(folder / "a", PaintedSource(pixels, source_px), frame_px=frame_px)
    whole = write(folder / "b", PaintedSource(pixels, 400), frame_px=frame_px)

    assert read_matrix(paths[0]).shape == (n_rows, n_columns, 3)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in whole]


def test_progress_counts_the_frames_of_all_levels(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write(tmp_path / "out", progress=lambda done, total: seen.append((done, total)))

    assert seen[-1] == (5, 5)  # 2 x 2 frames of 403 x 301, then one
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_memory_does_not_hold_the_slide(tmp_path: Path) -> None:
    class Endless(PaintedSource):
        def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage:
            return self.pixels

    source = Endless(paint(256, 256), frame_px=256)
    level = source.levels[0]
    source.levels = (type(level)(0, MatrixSize(8192, 2048), level.spacing, level.frame_size),)
    tracemalloc.start()
    try:
        write(tmp_path / "out", source)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak_bytes < 8192 * 2048 * 3 / 4


def test_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    class Broken(PaintedSource):
        def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1) -> RgbImage | None:
            if frame_row == 2:
                raise DamagedInstanceError("frame 9 cannot be decoded")
            return super().read_frame(level, frame_row, frame_column, reduce)

    with pytest.raises(DamagedInstanceError):
        write(tmp_path / "new" / "out", Broken(paint(301, 403)))

    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_a_resource_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ResourceError, match="disk is full"):
        write(tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


def test_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not an empty folder"):
        write(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    assert all(path.is_file() for path in write(tmp_path / "out"))


@pytest.mark.parametrize("options", [{"frame_px": 100}, {"frame_px": 32}, {"jpeg_quality": 0}, {"jpeg_quality": 101}])
def test_option_out_of_range_is_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        write(tmp_path / "out", **options)

    assert list(tmp_path.iterdir()) == []


def test_color_profile_is_an_input_profile(written: list[Path]) -> None:
    path: Dataset = pydicom.dcmread(written[0]).OpticalPathSequence[0]

    assert path.ICCProfile[12:16] == b"scnr"
    assert path.ColorSpace == "SRGB"
