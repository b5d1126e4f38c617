from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from tests import wsi_builder as build
from tests.wsi_builder import Wsi, assemble, paint, remove, write_concatenation, write_wsi
from vst_dicom.domain.errors import (
    DamagedInstanceError,
    InputError,
    PixelSpacingError,
    UsageError,
)
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.slide.opening import open_slide

IMAGE = paint(75, 100)
PIXEL_DATA_TAG = b"\xe0\x7f\x10\x00"


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_missing_part_of_a_concatenation_is_named(tmp_path: Path, part: int) -> None:
    write_concatenation(tmp_path, Wsi([IMAGE]), (5, 4, 3))[part - 1].unlink()

    with pytest.raises(DamagedInstanceError, match=f"part {part} of 3"):
        open_slide([tmp_path])


def test_a_missing_last_part_shows_even_where_the_total_is_not_stated(tmp_path: Path) -> None:
    write_concatenation(tmp_path, Wsi([IMAGE]), (5, 4, 3), state_total=False)[2].unlink()

    with pytest.raises(DamagedInstanceError, match="is 9, but 3 x 4 tiles"):
        open_slide([tmp_path])


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
        open_slide([tmp_path])


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


def test_an_instance_that_comes_twice_with_other_pixels_is_damaged(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], uid="1.2.3"))
    write_wsi(tmp_path / "b.dcm", Wsi([paint(75, 100, 9)], uid="1.2.3"))

    with pytest.raises(DamagedInstanceError, match=r"same SOP instance 1\.2\.3 with different pixels"):
        open_slide([tmp_path])


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
