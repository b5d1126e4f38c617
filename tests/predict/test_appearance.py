import cv2
import numpy as np
import pytest

from vst_dicom.predict.appearance import N_APPEARANCE, describe_appearance


def tile_of(color: tuple[int, int, int]) -> np.ndarray:
    return np.full((1, 224, 224, 3), color, dtype=np.uint8)


def test_a_flat_tile_is_described_by_its_density_and_color_alone() -> None:
    described = describe_appearance(tile_of((24, 24, 24)))[0]

    assert described.shape == (N_APPEARANCE,)
    assert described[0] == pytest.approx(np.log(np.log10(256 / 25) + 0.03), abs=1e-3)
    assert described[1:3] == pytest.approx([0, 0], abs=1e-3)
    assert described[5:] == pytest.approx([0, 0, 0, 0], abs=1e-3)


def test_red_that_absorbs_twice_as_much_as_green_moves_the_second_number() -> None:
    blue = describe_appearance(tile_of((1, 15, 255)))[0]

    red_density, green_density = np.log10(256 / 2) + 0.03, np.log10(256 / 16) + 0.03
    assert blue[1] == pytest.approx(np.log(red_density / green_density), abs=1e-3)
    assert blue[2] < -2


def test_blur_lowers_detail_and_leaves_color() -> None:
    sharp = np.random.default_rng(0).integers(100, 200, (1, 224, 224, 1), dtype=np.uint8).repeat(3, axis=3)
    soft = np.stack([cv2.GaussianBlur(sharp[0], (0, 0), 3)])

    before, after = describe_appearance(np.concatenate([sharp, soft]))

    assert after[5] < before[5] - 1.5
    assert after[:3] == pytest.approx(before[:3], abs=0.05)


def test_colors_that_vary_apart_are_told_from_a_stain() -> None:
    random = np.random.default_rng(0)
    together = random.integers(50, 200, (1, 224, 224, 1), dtype=np.uint8).repeat(3, axis=3)
    apart = random.integers(50, 200, (1, 224, 224, 3), dtype=np.uint8)

    described = describe_appearance(np.concatenate([together, apart]))

    assert described[0, 4] < -2
    assert described[1, 4] > -0.5


def test_black_white_and_no_tiles_give_finite_numbers() -> None:
    extremes = np.concatenate([tile_of((0, 0, 0)), tile_of((255, 255, 255))])

    assert np.isfinite(describe_appearance(extremes)).all()
    assert describe_appearance(extremes[:0]).shape == (0, N_APPEARANCE)


def test_the_numbers_are_those_of_the_plain_formulas() -> None:
    random = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(random.normal(0, 60, (224, 224, 3)), (0, 0), 1.5) * 3 + (190, 120, 170)
    image = np.clip(smooth, 0, 255).astype(np.uint8)

    described = describe_appearance(image[None])[0]

    density = np.log10(256 / (image.astype(np.float64) + 1))
    few = density[::2, ::2].reshape(-1, 3)
    red, green, blue = few.mean(axis=0) + 0.03
    axes = np.linalg.eigvalsh(np.cov(few.T, bias=True))
    gray = density.mean(axis=2)
    expected = [np.log((red + green + blue) / 3), np.log(red / green), np.log(blue / green)]
    expected += [np.log(gray.var() + 2e-4) / 2, np.log((axes[1] + 2e-4) / (axes[2] + 2e-4)) / 2]
    for _ in range(4):
        expected.append(np.log(cv2.Laplacian(gray, cv2.CV_64F).var() + 2e-4) / 2 - expected[3])
        gray = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(described, expected, rtol=1e-4, atol=1e-5)
