import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vst_dicom.training.lattice import blocks, moran, null_correlations, pitch, shifts, sign_flip_p


def square(side: int, step: float = 10.0) -> np.ndarray:
    return step * np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2).astype(np.float64)


def smooth(side: int, seed: int) -> np.ndarray:
    from scipy import ndimage

    noise = np.random.default_rng(seed).standard_normal((side, side, 40))
    return ndimage.gaussian_filter(noise, (2, 2, 0), mode="wrap").reshape(-1, 40)


def test_the_pitch_is_the_distance_to_the_nearest_spot() -> None:
    assert pitch(square(4, 7.0)) == pytest.approx(7.0)
    assert pitch(np.zeros((1, 2))) == 1


def test_moran_by_hand() -> None:
    # Four spots in a row, values 1 1 0 0: deviations ±1/2, products over the three pairs 1/4 - 1/4 + 1/4,
    # divided by 3 pairs and by the variance 1/4.
    row = np.column_stack([np.arange(4.0), np.zeros(4)])
    assert moran(np.array([1.0, 1, 0, 0])[:, None], row)[0] == pytest.approx(1 / 3)


def test_a_checkerboard_has_moran_minus_one_and_a_constant_none() -> None:
    board = np.indices((6, 6)).sum(axis=0).reshape(-1, 1) % 2
    assert moran(board.astype(float), square(6))[0] == pytest.approx(-1)
    assert moran(np.ones((36, 1)), square(6))[0] == 0


def test_spots_without_neighbors_have_no_structure() -> None:
    assert moran(np.array([[1.0]]), np.zeros((1, 2)))[0] == 0


@given(st.integers(0, 1000))
def test_a_shift_never_leaves_a_map_near_its_place_nor_takes_a_spot_from_outside(seed: int) -> None:
    centers = square(8)
    for places, sources in shifts(centers, 3, np.random.default_rng(seed)):
        assert len(places) == len(sources) == 64
        assert sorted(sources) == list(range(64))
        moved = np.abs(centers[places] - centers[sources])
        assert (moved.max(axis=1) > 0).mean() > 0.5


def test_a_section_with_holes_is_compared_where_both_maps_have_spots() -> None:
    centers = square(10)[np.random.default_rng(0).uniform(size=100) < 0.7]
    for places, sources in shifts(centers, 20, np.random.default_rng(1)):
        assert len(places) >= len(centers) / 3
        assert len(np.unique(places)) == len(places)
        assert sources.max() < len(centers)


def test_two_smooth_maps_that_have_nothing_to_do_with_each_other_are_not_significant() -> None:
    # 40 pairs of independent smooth maps: at the 5 % level the null must reject about 2, not the 20 that the
    # textbook test of a correlation over 400 spots rejects.
    predicted, measured = smooth(20, 0), smooth(20, 1)
    (null,) = null_correlations([(predicted, measured)], square(20), 199, np.random.default_rng(0))
    observed = np.array([np.corrcoef(predicted[:, g], measured[:, g])[0, 1] for g in range(40)])

    rejected = ((1 + (null >= observed).sum(axis=0)) / 200 <= 0.05).sum()
    textbook = (np.abs(observed) > 1.96 / 20).sum()

    assert rejected <= 5
    assert textbook >= 15


def test_a_map_that_agrees_is_significant() -> None:
    predicted = smooth(20, 0)
    (null,) = null_correlations([(predicted, predicted)], square(20), 99, np.random.default_rng(0))

    assert (null.max(axis=0) < 1 - 1e-6).all()


def test_blocks_are_four_pitches_wide() -> None:
    found = blocks(square(8))

    assert sorted(np.bincount(found)) == [16, 16, 16, 16]


def test_sign_flips_by_hand() -> None:
    # Three equal sums: only the flip that keeps all signs, 1 in 8, is as large.
    assert sign_flip_p(np.ones(3), 20_000, np.random.default_rng(0)) == pytest.approx(1 / 8, abs=0.02)
    assert sign_flip_p(-np.ones(3), 100, np.random.default_rng(0)) == 1
