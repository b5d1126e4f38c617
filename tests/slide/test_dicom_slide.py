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
from tests.wsi_builder import Wsi, paint, write_concatenation, write_pyramid, write_wsi
from vst_dicom.dicom.source import Slide
from vst_dicom.domain.errors import (
    DamagedInstanceError,
    InputError,
    PixelSpacingError,
    UnsupportedInstanceError,
    UsageError,
)
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.slide.opening import open_slide

IMAGE = paint(75, 100)
PIXEL_DATA_TAG = b"\xe0\x7f\x10\x00"


def assemble(slide: Slide, level: int = 0) -> np.ndarray:
    """Total pixel matrix of a level, glass where no frame is."""
    geometry = slide.levels[level]
    rows, columns = geometry.frame_size.n_rows, geometry.frame_size.n_columns
    grid = geometry.frame_grid
    matrix = np.full((grid.n_rows * rows, grid.n_columns * columns, 3), 255, dtype=np.uint8)
    for row in range(grid.n_rows):
        for column in range(grid.n_columns):
            frame = slide.read_frame(level, row, column)
            if frame is not None:
                matrix[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns] = frame
    return matrix[: geometry.size.n_rows, : geometry.size.n_columns]


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


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_missing_part_of_a_concatenation_is_named(tmp_path: Path, part: int) -> None:
    write_concatenation(tmp_path, Wsi([IMAGE]), (5, 4, 3))[part - 1].unlink()

    with pytest.raises(DamagedInstanceError, match=f"part {part} of 3"):
        open_slide([tmp_path])


def test_a_missing_last_part_shows_even_where_the_total_is_not_stated(tmp_path: Path) -> None:
    write_concatenation(tmp_path, Wsi([IMAGE]), (5, 4, 3), state_total=False)[2].unlink()

    with pytest.raises(DamagedInstanceError, match="is 9, but 3 x 4 tiles"):
        open_slide([tmp_path])


@pytest.mark.parametrize(("chosen", "expected"), [(None, 1), (0, 0), (1, 1), (2, 2)])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_middle_focal_plane_is_read_unless_another_is_chosen(
    tmp_path: Path, sparse: bool, chosen: int | None, expected: int
) -> None:
    images = [paint(75, 100, seed) for seed in range(3)]
    write_wsi(tmp_path / "a.dcm", Wsi(images, n_planes=3, plane_step_mm=0.0015, first_plane_um=2.0, sparse=sparse))

    with open_slide([tmp_path], focal_plane=chosen) as slide:
        np.testing.assert_array_equal(assemble(slide), images[expected])
        assert slide.source.focal_plane == (expected, 3)
        assert slide.source.plane.origin_mm[2] == pytest.approx(0.002 + 0.0015 * expected)


def test_focal_planes_in_instances_of_their_own_are_one_level(tmp_path: Path) -> None:
    images = [paint(75, 100, seed) for seed in range(3)]
    for number in (2, 0, 1):
        write_wsi(tmp_path / f"{number}.dcm", Wsi([images[number]], first_plane_um=1 + 2.0 * number))

    with open_slide([tmp_path]) as slide:
        assert len(slide.levels) == 1
        np.testing.assert_array_equal(assemble(slide), images[1])
        assert slide.source.focal_plane == (1, 3)


def test_a_focal_plane_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE]))

    with pytest.raises(UsageError, match="no focal plane 1; the slide has 1"):
        open_slide([tmp_path], focal_plane=1)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_only_brightfield_path_is_read(tmp_path: Path, sparse: bool) -> None:
    images = [paint(75, 100, seed) for seed in range(2)]
    wsi = Wsi(images, paths=("FL", "HE"), illuminations=("111743", "111744"), sparse=sparse)
    write_wsi(tmp_path / "a.dcm", wsi)

    with open_slide([tmp_path]) as slide:
        np.testing.assert_array_equal(assemble(slide), images[1])
        assert slide.source.optical_path == "HE"


def test_two_brightfield_paths_need_a_choice_which_is_recorded(tmp_path: Path) -> None:
    images = [paint(75, 100, seed) for seed in range(2)]
    write_wsi(tmp_path / "a.dcm", Wsi(images, paths=("A", "B")))

    with pytest.raises(UsageError, match=r"'A', 'B'; choose one with --optical-path"):
        open_slide([tmp_path])
    with pytest.raises(UsageError, match="no optical path 'C'"):
        open_slide([tmp_path], optical_path="C")
    with open_slide([tmp_path], optical_path="B") as slide:
        np.testing.assert_array_equal(assemble(slide), images[1])
        assert slide.source.optical_path == "B"


def test_the_path_described_as_h_and_e_wins(tmp_path: Path) -> None:
    def describe(dataset: Dataset) -> None:
        dataset.OpticalPathSequence[1].OpticalPathDescription = "H&E"

    images = [paint(75, 100, seed) for seed in range(2)]
    write_wsi(tmp_path / "a.dcm", Wsi(images, paths=("A", "B"), change=describe))

    with open_slide([tmp_path]) as slide:
        np.testing.assert_array_equal(assemble(slide), images[1])


def test_fluorescence_only_is_unsupported(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], illuminations=("111743",)))

    with pytest.raises(UnsupportedInstanceError, match="no optical path is brightfield"):
        open_slide([tmp_path])


def remove(*keywords: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return change


def assign(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


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


def test_without_any_spacing_the_user_is_told_what_to_do(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], spacing_mm=None))

    with pytest.raises(PixelSpacingError, match="--pixel-spacing-um"):
        open_slide([tmp_path])
    with open_slide([tmp_path], pixel_spacing=PixelSpacing.from_um(0.5)) as slide:
        assert slide.levels[0].spacing == PixelSpacing(0.0005, 0.0005)
        assert slide.source.spacing_assumed


@pytest.mark.parametrize("spacing", [(0.0, 0.0), (-0.0005, 0.0005), (1e-300, 1e-300), (0.0005, 5.0)])
def test_impossible_spacings_are_refused(tmp_path: Path, spacing: tuple[float, float]) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], spacing_mm=spacing))

    with pytest.raises(PixelSpacingError, match="--pixel-spacing-um"):
        open_slide([tmp_path])


@pytest.mark.parametrize("text", [b"NaN\\NaN     ", b"1e99\\1e99   "])
def test_spacings_that_are_no_finite_numbers_are_refused(tmp_path: Path, text: bytes) -> None:
    path = write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], spacing_mm=(0.00051, 0.0005)))
    data = path.read_bytes()
    assert data.count(b"0.00051\\0.0005") == 1
    path.write_bytes(data.replace(b"0.00051\\0.0005", text.ljust(14)))

    with pytest.raises(InputError):
        open_slide([tmp_path])


@pytest.mark.parametrize(
    ("keyword", "value", "match"),
    [
        ("NumberOfFrames", 11, "is 11, but 3 x 4 tiles"),
        ("NumberOfFrames", 1_000_000_000, r"NumberOfFrames \(0028,0008\) is 1000000000 in \d+ bytes"),
        ("NumberOfFrames", 0, r"NumberOfFrames \(0028,0008\) is 0 in"),
        ("TotalPixelMatrixRows", 1_000_000, r"TotalPixelMatrixRows \(0048,0007\) is 1000000"),
        ("TotalPixelMatrixColumns", 0, "is 0; 1 to 400000"),
        ("Rows", 65535, r"Rows \(0028,0010\) is 65535"),
        ("Columns", 0, "is 0; 1 to 4096"),
        ("TotalPixelMatrixFocalPlanes", 3, r"3 focal plane\(s\)"),
        ("NumberOfOpticalPaths", 2, r"2 optical path\(s\)"),
        ("NumberOfOpticalPaths", 2**31, r"NumberOfOpticalPaths \(0048,0302\) is 2147483648; at most"),
        ("TotalPixelMatrixFocalPlanes", 2**31, r"TotalPixelMatrixFocalPlanes \(0048,0303\) is 2147483648; at most"),
        ("ImageOrientationSlide", [1, 0, 0, 1, 0, 0], "ImageOrientationSlide"),
        ("SOPInstanceUID", "../../etc/passwd", "SOPInstanceUID"),
        ("SeriesInstanceUID", "../../etc/passwd", "SeriesInstanceUID"),
    ],
)
def test_headers_that_cannot_be_are_damaged(tmp_path: Path, keyword: str, value: object, match: str) -> None:
    def change(dataset: Dataset) -> None:
        dataset[keyword].value = value

    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], change=change))

    with pytest.raises(DamagedInstanceError, match=match):
        open_slide([tmp_path]).source  # noqa: B018 - reading it is the act


def test_a_level_of_countless_tiny_frames_is_damaged_without_taking_memory(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = 400_000, 400_000

    write_wsi(tmp_path / "a.dcm", Wsi([paint(2, 2)], tile=(1, 1), sparse=True, change=change))

    with pytest.raises(DamagedInstanceError, match="400000 x 400000 frames make a level"):
        open_slide([tmp_path])


@pytest.mark.parametrize("keyword", ["NumberOfFrames", "Rows", "TotalPixelMatrixRows", "StudyInstanceUID"])
def test_headers_that_lack_the_necessary_are_damaged(tmp_path: Path, keyword: str) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], change=remove(keyword)))

    with pytest.raises(DamagedInstanceError, match=f"{keyword}.* is missing"):
        open_slide([tmp_path])


@pytest.mark.parametrize(
    ("place", "match"),
    [((0, 1), "outside"), ((1, 101), "outside"), ((1, 33), "same place"), ((-5, 1), "outside")],
)
def test_sparse_frames_at_impossible_places_are_damaged(tmp_path: Path, place: tuple[int, int], match: str) -> None:
    def change(dataset: Dataset) -> None:
        position = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
        position.RowPositionInTotalImagePixelMatrix, position.ColumnPositionInTotalImagePixelMatrix = place

    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], sparse=True, change=change))

    with pytest.raises(DamagedInstanceError, match=match):
        open_slide([tmp_path])


def test_a_sparse_level_with_too_few_places_is_damaged(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.PerFrameFunctionalGroupsSequence.pop()

    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], sparse=True, change=change))

    with pytest.raises(DamagedInstanceError, match="11 of 12 frames say where they lie"):
        open_slide([tmp_path])


@pytest.mark.parametrize("transfer_syntax", [build.NATIVE, build.JPEG, build.JPEG_LS])
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 0.9])
def test_a_truncated_file_is_damaged_before_a_frame_is_read(
    tmp_path: Path, transfer_syntax: str, fraction: float
) -> None:
    path = write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], transfer_syntax=transfer_syntax))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])

    with pytest.raises(DamagedInstanceError, match=r"a\.dcm"):
        open_slide([tmp_path])


def test_a_fragment_that_claims_to_be_huge_is_damaged(tmp_path: Path) -> None:
    path = write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], transfer_syntax=build.JPEG_LS))
    data = bytearray(path.read_bytes())
    first = data.index(PIXEL_DATA_TAG) + 12
    second = data.index(b"\xfe\xff\x00\xe0", first + 4)
    data[second + 4 : second + 8] = b"\xf0\xff\xff\x7f"
    path.write_bytes(bytes(data))

    with pytest.raises(DamagedInstanceError, match="a fragment reaches to byte"):
        open_slide([tmp_path])


def test_a_missing_frame_is_damaged(tmp_path: Path) -> None:
    wsi = Wsi([IMAGE], transfer_syntax=build.JPEG_LS, change_frames=lambda frames: frames[:-1])
    write_wsi(tmp_path / "a.dcm", wsi)

    with pytest.raises(DamagedInstanceError, match="11 of 12 frames are in the file"):
        open_slide([tmp_path])


def test_a_broken_frame_names_file_and_frame(tmp_path: Path) -> None:
    def cut(frames: list[bytes]) -> list[bytes]:
        return [*frames[:5], frames[5][: len(frames[5]) // 4 * 2], *frames[6:]]

    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], transfer_syntax=build.JPEG, change_frames=cut))

    with open_slide([tmp_path]) as slide:
        assert slide.read_frame(0, 1, 0) is not None
        with pytest.raises(DamagedInstanceError, match=r"a\.dcm, frame 6: .*end marker"):
            slide.read_frame(0, 1, 1)


def test_an_instance_that_comes_twice_is_read_once(tmp_path: Path) -> None:
    path = write_wsi(tmp_path / "a.dcm", Wsi([IMAGE]))
    (tmp_path / "copy.dcm").write_bytes(path.read_bytes())

    with open_slide([tmp_path]) as slide:
        assert len(slide.levels) == 1
        assert any("came twice" in warning for warning in slide.source.warnings)


def test_an_instance_that_comes_twice_with_other_pixels_is_damaged(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], uid="1.2.3"))
    write_wsi(tmp_path / "b.dcm", Wsi([paint(75, 100, 9)], uid="1.2.3"))

    with pytest.raises(DamagedInstanceError, match=r"same SOP instance 1\.2\.3 with different pixels"):
        open_slide([tmp_path])


def test_a_level_that_comes_twice_is_tolerated_only_with_the_same_pixels(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE]))
    second = write_wsi(tmp_path / "b.dcm", Wsi([IMAGE]))

    with open_slide([tmp_path]) as slide:
        assert len(slide.levels) == 1
        assert any("came twice with the same pixels" in warning for warning in slide.source.warnings)
    write_wsi(second, Wsi([paint(75, 100, 9)]))
    with pytest.raises(DamagedInstanceError, match=r"a\.dcm and b\.dcm both claim to be level 75 x 100"):
        open_slide([tmp_path])


def test_an_image_of_another_shape_is_no_level(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([paint(160, 224)]))
    write_wsi(tmp_path / "b.dcm", Wsi([paint(100, 50)]))

    with open_slide([tmp_path]) as slide:
        assert len(slide.levels) == 1
        assert any("another shape" in warning for warning in slide.source.warnings)


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


def test_errors_never_carry_the_patient(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.Rows = 0

    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], change=change))

    with pytest.raises(DamagedInstanceError) as caught:
        open_slide([tmp_path])
    assert "Doe" not in str(caught.value)
    assert "4711" not in str(caught.value)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_wrong_with_a_file_it_is_one_of_our_errors(tmp_path: Path, data: st.DataObject) -> None:
    sparse = data.draw(st.booleans())
    path = tmp_path / f"{sparse}.dcm"
    original = tmp_path / f"{sparse}.original"
    if not original.exists():
        original.write_bytes(
            write_wsi(path, Wsi([IMAGE], transfer_syntax=build.JPEG_LS, sparse=sparse, uid="1.2.3")).read_bytes()
        )
    mutant = bytearray(original.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        mutant[data.draw(st.integers(132, len(mutant) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(mutant[: data.draw(st.integers(200, len(mutant)))] if data.draw(st.booleans()) else mutant))

    try:
        with open_slide([path]) as slide:
            assemble(slide)
            assert slide.source.content_sha256
    except (InputError, UsageError):
        pass
