import cv2
import numpy as np
import pytest

from vst_dicom.training.baselines import count_nuclei, describe_tile, regress, separate_stains


def nuclei(n: int, spacing_um: float = 0.5, diameter_um: float = 7.0, gap_um: float = 14.0) -> np.ndarray:
    """Hematoxylin density of n round nuclei in a row."""
    gap, radius = gap_um / spacing_um, diameter_um / spacing_um / 2
    density = np.full((224, 224), 0.05, dtype=np.float32)
    for index in range(n):
        cv2.circle(density, (round(gap * (index % 7 + 1)), round(gap * (index // 7 + 1))), round(radius), 0.8, -1)
    return density


@pytest.mark.parametrize("n", [0, 1, 5, 14])
def test_round_dark_nuclei_are_counted(n: int) -> None:
    assert count_nuclei(nuclei(n), 0.5) == n


def test_a_dark_field_without_nuclei_counts_nothing() -> None:
    assert count_nuclei(np.full((224, 224), 0.9, dtype=np.float32), 0.5) == 0


def test_the_count_follows_the_pixel_spacing() -> None:
    assert count_nuclei(nuclei(6, spacing_um=0.25, gap_um=7.9, diameter_um=6), 0.25) == 6


@pytest.mark.parametrize(("stain", "position"), [((0.65, 0.70, 0.29), 0), ((0.07, 0.99, 0.11), 1)])
def test_pure_stains_are_told_apart(stain: tuple[float, float, float], position: int) -> None:
    vector = np.array(stain) / np.linalg.norm(stain)
    image = np.tile(np.round(256 * 10 ** (-0.5 * vector) - 1).astype(np.uint8), (8, 8, 1))

    expected = np.zeros(3)
    expected[position] = 0.5
    np.testing.assert_allclose(separate_stains(image)[0, 0], expected, atol=0.01)


def test_white_glass_has_no_stain_and_no_nuclei() -> None:
    assert describe_tile(np.full((224, 224, 3), 255, dtype=np.uint8), 0.5) == pytest.approx((0, 0, 0), abs=1e-6)


def test_regression_finds_slope_and_offset() -> None:
    train, test = np.array([[0.0], [1], [2]]), np.array([[10.0]])

    assert regress(train, np.array([[1, 5], [3, 5], [5, 5]], np.float32), test)[0] == pytest.approx([21, 5])
