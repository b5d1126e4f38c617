import cv2
import numpy as np
import pytest

from vst_dicom.predict.appearance import describe_appearance
from vst_dicom.training.jitter import jitter


def stained_tile(seed: int = 0) -> np.ndarray:
    """Purple blobs on pink."""
    blobs = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((224, 224)), (0, 0), 4)
    image = np.where((blobs > 0.05)[..., None], (110, 70, 150), (225, 160, 200))
    return image.astype(np.uint8)


def test_the_same_draws_give_the_same_tile() -> None:
    one, other = (jitter(stained_tile(), 0.5, np.random.default_rng(7)) for _ in range(2))

    np.testing.assert_array_equal(one, other)
    assert (one.shape, one.dtype) == ((224, 224, 3), np.uint8)


def test_color_and_focus_go_both_ways() -> None:
    random = np.random.default_rng(0)
    before = describe_appearance(stained_tile()[None])[0]
    after = describe_appearance(np.stack([jitter(stained_tile(), 0.5, random) for _ in range(40)]))

    for number in (0, 1, 2, 5):
        assert (after[:, number] > before[number]).any(), number
        assert (after[:, number] < before[number]).any(), number


def test_it_stays_hematoxylin_and_eosin() -> None:
    random = np.random.default_rng(0)
    density = np.log10(256 / (np.stack([jitter(stained_tile(), 0.5, random) for _ in range(40)]) + 1.0)).mean((1, 2))

    assert (density[:, 1] > 0.8 * density[:, 0]).mean() > 0.9
    assert (density[:, 1] > density[:, 2]).mean() > 0.9


@pytest.mark.parametrize("color", [0, 255])
def test_black_and_white_survive(color: int) -> None:
    changed = jitter(np.full((224, 224, 3), color, np.uint8), 0.5, np.random.default_rng(0))

    assert abs(float(changed.mean()) - color) < 60
