import cv2
import numpy as np
import pytest

from vst_dicom.domain.tiles import TileBatch
from vst_dicom.tiles.quality import QualityRecorder, ink_fraction, measure_sharpness


def texture() -> np.ndarray:
    values = np.random.default_rng(0).normal(0, 40, (224, 224, 1))
    return np.clip(np.array([190, 120, 170]) + cv2.GaussianBlur(values, (0, 0), 1.5)[..., None] * 3, 0, 255).astype(
        np.uint8
    )


def test_sharpness_falls_with_blur() -> None:
    sharp = texture()

    assert measure_sharpness(cv2.GaussianBlur(sharp, (0, 0), 4)) < measure_sharpness(sharp) / 10


@pytest.mark.parametrize(
    ("color", "is_ink"),
    [
        ((30, 60, 200), True),
        ((20, 140, 60), True),
        ((10, 10, 12), True),
        ((225, 130, 190), False),
        ((90, 60, 140), False),
    ],
    ids=["blue", "green", "black", "eosin", "hematoxylin"],
)
def test_ink_is_told_from_stain(color: tuple[int, int, int], is_ink: bool) -> None:
    image = np.full((8, 8, 3), color, dtype=np.uint8)

    assert (ink_fraction(image) > 0.5) is is_ink


def test_recorder_passes_batches_on_and_remembers_each_tile() -> None:
    sharp = texture()
    images = np.stack([np.full_like(sharp, 200), sharp, np.full_like(sharp, (30, 60, 200))])
    batches = [TileBatch(np.array([2, 0]), images[[2, 0]]), TileBatch(np.array([1]), images[[1]])]
    recorder = QualityRecorder(3)

    passed = list(recorder.watch(batches))
    quality = recorder.quality(np.ones(3, dtype=np.float32))

    assert passed == batches
    np.testing.assert_array_equal(quality.blurred, [True, False, True])
    np.testing.assert_array_equal(quality.inked, [False, False, True])


def test_recorder_says_when_a_tile_is_missing() -> None:
    with pytest.raises(ValueError, match="passed"):
        QualityRecorder(1).quality(np.ones(1, dtype=np.float32))


def test_ink_is_what_its_optical_densities_say() -> None:
    reds = np.r_[0:140:3, 31, 32, 113, 114, 115]
    greens, blues = np.meshgrid(np.arange(256), np.r_[0:40, 255], indexing="ij")
    for red in reds:
        image = np.stack([np.full_like(greens, red), greens, blues], axis=-1).astype(np.uint8)
        density = np.log10(256 / (image.astype(np.float32) + 1))
        colored = (density[..., 0] > 0.35) & (density[..., 0] > 1.3 * density[..., 1])
        black = (density.min(axis=-1) > 0.9) & (np.ptp(density, axis=-1) < 0.25)

        assert ink_fraction(image) == (colored | black).mean(), red


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    image = np.random.default_rng(0).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)

    assert measure_sharpness(image) == pytest.approx(cv2.Laplacian(gray, cv2.CV_64F).var(), rel=1e-9)
