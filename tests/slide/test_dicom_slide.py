from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from tests import wsi_builder as build
from tests.wsi_builder import Wsi, assemble, assign, paint, remove, write_concatenation, write_pyramid, write_wsi
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import RunSource
from vst_dicom.slide.opening import open_slide

IMAGE = paint(75, 100)
PIXEL_DATA_TAG = b"\xe0\x7f\x10\x00"


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    "transfer_syntax",
    [build.IMPLICIT, build.NATIVE, build.RLE, build.JPEG_LS, build.JPEG_2000_LOSSLESS, build.HTJ2K, build.JPEG_XL],
)
def test_every_encoding_and_tiling_gives_the_painted_pixels(tmp_path: Path, transfer_syntax: str, sparse: bool) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], transfer_syntax=transfer_syntax, sparse=sparse))

    with open_slide([tmp_path]) as slide:
        np.testing.assert_array_equal(assemble(slide), IMAGE)


def test_jpeg_pixels_are_the_painted_ones_to_its_precision(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], transfer_syntax=build.JPEG))

    with open_slide([tmp_path]) as slide:
        assert np.abs(assemble(slide).astype(int) - IMAGE).mean() < 1.5


def test_geometry_is_that_of_the_header_with_x_and_y_apart(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], spacing_mm=(0.0005, 0.0004), origin_mm=(12.5, 33.25)))

    with open_slide([tmp_path]) as slide:
        (level,) = slide.levels
        plane = slide.source.plane

    assert level.size == MatrixSize(75, 100)
    assert level.frame_size == MatrixSize(32, 32)
    assert level.spacing == PixelSpacing(row_mm=0.0005, column_mm=0.0004)
    assert plane.origin_mm == (12.5, 33.25, 0)
    # rows run along -y, columns along -x: pixel (x 10, y 20) lies 20 rows up x and 10 columns up y
    np.testing.assert_allclose(plane.to_slide_mm(10, 20), [[12.5 - 20 * 0.0005, 33.25 - 10 * 0.0004, 0]])
    assert slide.source.warnings == ()
    assert not slide.source.spacing_assumed


def test_levels_are_sorted_and_each_reads_its_own_pixels(tmp_path: Path) -> None:
    base = paint(160, 224)
    paths = write_pyramid(tmp_path, 3, base, transfer_syntax=build.JPEG_LS)
    paths[0].rename(tmp_path / "z.dcm")

    with open_slide([tmp_path]) as slide:
        assert [level.size for level in slide.levels] == [
            MatrixSize(160, 224),
            MatrixSize(80, 112),
            MatrixSize(40, 56),
        ]
        assert [level.spacing.row_mm for level in slide.levels] == [0.0005, 0.001, 0.002]
        np.testing.assert_array_equal(assemble(slide, 1), build.halve(base))
        np.testing.assert_array_equal(assemble(slide, 2), build.halve(build.halve(base)))


def test_a_level_that_repeats_the_base_spacing_gets_it_from_the_sizes(tmp_path: Path) -> None:
    base = paint(160, 224)
    write_wsi(tmp_path / "0.dcm", Wsi([base]))
    write_wsi(tmp_path / "1.dcm", Wsi([build.halve(base)], spacing_mm=(0.0005, 0.0005)))

    with open_slide([tmp_path]) as slide:
        assert slide.levels[1].spacing == PixelSpacing(0.001, 0.001)
        assert any("computed from the sizes" in warning for warning in slide.source.warnings)


@pytest.mark.parametrize("offsets", ["basic", "extended", "none"])
def test_frames_are_found_with_any_offset_table(tmp_path: Path, offsets: str) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], transfer_syntax=build.JPEG_LS, offsets=offsets))

    with open_slide([tmp_path]) as slide:
        np.testing.assert_array_equal(assemble(slide), IMAGE)


@pytest.mark.parametrize("offsets", ["basic", "none"])
def test_frames_of_several_fragments_are_joined(tmp_path: Path, offsets: str) -> None:
    wsi = Wsi([IMAGE], transfer_syntax=build.JPEG_LS, offsets=offsets, fragments_per_frame=3)
    write_wsi(tmp_path / "a.dcm", wsi)

    with open_slide([tmp_path]) as slide:
        np.testing.assert_array_equal(assemble(slide), IMAGE)


def test_a_wrong_offset_table_does_no_harm(tmp_path: Path) -> None:
    path = write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], transfer_syntax=build.JPEG_LS))
    data = bytearray(path.read_bytes())
    table = data.index(PIXEL_DATA_TAG) + 12 + 8
    data[table : table + 12] = b"\xff\xff\xff\x7f" * 3
    path.write_bytes(bytes(data))

    with open_slide([tmp_path]) as slide:
        np.testing.assert_array_equal(assemble(slide), IMAGE)


def test_a_missing_sequence_delimiter_does_no_harm(tmp_path: Path) -> None:
    path = write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], transfer_syntax=build.JPEG_LS))
    path.write_bytes(path.read_bytes()[:-8])

    with open_slide([tmp_path]) as slide:
        np.testing.assert_array_equal(assemble(slide), IMAGE)


def test_holes_of_a_sparse_level_are_glass_and_recorded(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], sparse=True, skip=frozenset({0, 5})))

    with open_slide([tmp_path]) as slide:
        assert slide.read_frame(0, 0, 0) is None
        assert slide.read_frame(0, 1, 1) is None
        np.testing.assert_array_equal(slide.read_frame(0, 0, 1), IMAGE[:32, 32:64])
        assert any(warning.startswith("2 places") for warning in slide.source.warnings)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shift=st.tuples(st.integers(0, 31), st.integers(0, 31)))
def test_sparse_frames_off_the_grid_are_put_together(tmp_path: Path, shift: tuple[int, int]) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], sparse=True, shift=shift))

    with open_slide([tmp_path / "a.dcm"]) as slide:
        np.testing.assert_array_equal(assemble(slide), IMAGE)
        reduced = slide.read_frame(0, 0, 1, 4)

    assert reduced is not None
    np.testing.assert_allclose(reduced, IMAGE[:32, 32:64].reshape(8, 4, 8, 4, 3).mean(axis=(1, 3)), atol=0.51)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("state_total", [False, True])
def test_a_concatenation_reads_as_one_level(tmp_path: Path, sparse: bool, state_total: bool) -> None:
    wsi = Wsi([IMAGE], transfer_syntax=build.JPEG_LS, sparse=sparse)
    write_concatenation(tmp_path, wsi, (5, 4, 3), state_total=state_total)

    with open_slide([tmp_path]) as slide:
        np.testing.assert_array_equal(assemble(slide), IMAGE)
        assert [int(header.InConcatenationNumber) for header in slide.source.instances] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (remove("OpticalPathSequence", "NumberOfOpticalPaths"), None),
        (remove("OpticalPathSequence"), None),
        (remove("TotalPixelMatrixFocalPlanes"), None),
        (remove("Manufacturer"), None),
        (assign("ImageType", ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]), None),
        (remove("ImageOrientationSlide"), "Image Orientation"),
        (remove("TotalPixelMatrixOriginSequence"), "origin of the total pixel matrix"),
        (assign("TotalPixelMatrixOriginSequence", DicomSequence([Dataset()])), "origin of the total pixel matrix"),
        (remove("DimensionOrganizationType"), "TILED_FULL is assumed"),
        (remove("FrameOfReferenceUID"), "Frame of Reference UID is missing"),
        (assign("FrameOfReferenceUID", "1." + "9" * 70), "Frame of Reference UID is not a valid UID"),
    ],
)
def test_what_scanners_leave_out_is_tolerated_and_said(
    tmp_path: Path, change: Callable[[Dataset], None], warning: str | None
) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], change=change))

    with open_slide([tmp_path]) as slide:
        np.testing.assert_array_equal(assemble(slide), IMAGE)
        assert slide.source.frame_of_reference_uid
        assert slide.source.plane.orientation == (0, -1, 0, -1, 0, 0)
        assert len(slide.source.warnings) == (0 if warning is None else 1)
        assert warning is None or warning in slide.source.warnings[0]


def test_a_missing_spacing_is_computed_from_the_imaged_volume(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.ImagedVolumeHeight, dataset.ImagedVolumeWidth = 75 * 0.0005, 100 * 0.00025

    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], spacing_mm=None, change=change))

    with open_slide([tmp_path]) as slide:
        spacing = slide.levels[0].spacing
        assert (spacing.row_mm, spacing.column_mm) == pytest.approx((0.0005, 0.00025))
        assert any("computed from the imaged volume" in warning for warning in slide.source.warnings)
        assert not slide.source.spacing_assumed


def test_an_instance_that_comes_twice_is_read_once(tmp_path: Path) -> None:
    path = write_wsi(tmp_path / "a.dcm", Wsi([IMAGE]))
    (tmp_path / "copy.dcm").write_bytes(path.read_bytes())

    with open_slide([tmp_path]) as slide:
        assert len(slide.levels) == 1
        assert any("came twice" in warning for warning in slide.source.warnings)


def test_the_content_hash_ignores_files_names_order_and_patient_but_not_pixels(tmp_path: Path) -> None:
    base = paint(160, 224)

    def write(folder: str, image: np.ndarray, name: str, patient: str) -> str:
        wsi = Wsi([image], uid="1.2.3", change=assign("PatientName", patient))
        write_wsi(tmp_path / folder / f"{name}.dcm", wsi)
        small = Wsi([build.halve(image)], uid="1.2.4", spacing_mm=(0.001, 0.001))
        write_wsi(tmp_path / folder / "m.dcm", small)
        with open_slide([tmp_path / folder]) as slide:
            return slide.source.content_sha256

    first = write("1", base, "a", "Doe^Jane")
    assert write("2", base, "z", "Roe^Richard") == first
    changed = base.copy()
    changed[100, 100] ^= 1
    assert write("3", changed, "a", "Doe^Jane") != first


def test_headers_carry_no_pixels_but_all_places(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], sparse=True))

    with open_slide([tmp_path]) as slide:
        header = slide.source.header

    assert "PixelData" not in header
    assert len(header.PerFrameFunctionalGroupsSequence) == 12
    place = header.PerFrameFunctionalGroupsSequence[5].PlanePositionSlideSequence[0]
    assert (place.RowPositionInTotalImagePixelMatrix, place.ColumnPositionInTotalImagePixelMatrix) == (33, 33)


def test_several_threads_may_read_at_once(tmp_path: Path) -> None:
    image = paint(256, 256)
    write_wsi(tmp_path / "a.dcm", Wsi([image], transfer_syntax=build.JPEG_LS))

    with open_slide([tmp_path]) as slide, ThreadPoolExecutor(8) as pool:
        places = [(row, column) for row in range(8) for column in range(8)] * 4
        frames = list(pool.map(lambda place: slide.read_frame(0, *place), places))

    for (row, column), frame in zip(places, frames, strict=True):
        expected = image[row * 32 : row * 32 + 32, column * 32 : column * 32 + 32]
        np.testing.assert_array_equal(frame, expected)


def test_a_place_outside_the_frame_grid_is_a_programming_error(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE]))

    with open_slide([tmp_path]) as slide, pytest.raises(IndexError):
        slide.read_frame(0, 3, 0)


@pytest.mark.parametrize(
    "wsi",
    [
        Wsi([IMAGE], transfer_syntax=build.JPEG),
        Wsi([IMAGE], transfer_syntax=build.JPEG_LS),
        Wsi([IMAGE], sparse=True, skip=frozenset({1, 5})),
        Wsi([IMAGE], sparse=True, shift=(3, 5)),
    ],
    ids=["jpeg", "jpeg-ls", "holes", "off the grid"],
)
@pytest.mark.parametrize("reduce", [1, 2])
def test_a_run_of_frames_is_what_the_frames_are_alone(tmp_path: Path, wsi: Wsi, reduce: int) -> None:
    write_wsi(tmp_path / "a.dcm", wsi)

    with open_slide([tmp_path / "a.dcm"]) as slide:
        assert isinstance(slide, RunSource)
        level = slide.levels[0]
        columns = list(range(level.frame_grid.n_columns))[::-1]
        shape = level.frame_size.n_rows // reduce, level.frame_size.n_columns // reduce
        memory = np.empty((2, *shape, 3), dtype=np.uint8)
        for row in range(level.frame_grid.n_rows):
            for number, is_there in enumerate(slide.read_run(0, row, columns, reduce, memory)):
                alone = slide.read_frame(0, row, columns[number], reduce)
                assert is_there is (alone is not None)
                if alone is not None:
                    np.testing.assert_array_equal(memory[number % 2], alone)
        with pytest.raises(IndexError, match="frames, not"):
            list(slide.read_run(0, 0, [columns[0] + 1], reduce, memory))
