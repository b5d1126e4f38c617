from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.wsi_builder import Wsi, assemble, paint, write_wsi
from vst_dicom.domain.errors import (
    DamagedInstanceError,
    UnsupportedInstanceError,
    UsageError,
)
from vst_dicom.slide.opening import open_slide

IMAGE = paint(75, 100)


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
