import numpy as np
import pytest

from vst_dicom.training.scores import (
    bootstrap_interval,
    depth_adjusted_pearson,
    explained_variance,
    pearson,
    spearman,
)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def test_pearson_by_hand() -> None:
    # Deviations (-1, 0, 1) and (-4/3, -1/3, 5/3): 3 / sqrt(2 * 14/3).
    assert pearson(column(1, 2, 3), column(1, 2, 4))[0] == pytest.approx(3 / np.sqrt(2 * 14 / 3))


def test_what_does_not_vary_correlates_with_nothing() -> None:
    assert pearson(column(1, 1, 1), column(1, 2, 3))[0] == 0
    assert pearson(column(1, 2, 3), column(0.1, 0.1, 0.1))[0] == 0


def test_spearman_sees_order_only() -> None:
    assert spearman(column(1, 2, 3, 4), column(1, 10, 100, 1000))[0] == pytest.approx(1)


def test_spearman_gives_ties_their_mean_rank() -> None:
    # Ranks (1, 2, 3) and (1.5, 1.5, 3): 1.5 / sqrt(2 * 1.5).
    assert spearman(column(1, 2, 3), column(5, 5, 9))[0] == pytest.approx(1.5 / np.sqrt(3))


def test_agreement_that_is_depth_alone_vanishes_when_depth_is_partialled_out() -> None:
    total_counts = np.array([100.0, 200, 400, 800, 1600, 3200])
    predicted = np.log(total_counts)[:, None] + column(1, -1, 0, 0, -1, 1)
    measured = 2 * np.log(total_counts)[:, None] + column(1, 1, -2, -2, 1, 1)

    assert pearson(predicted, measured)[0] > 0.7
    assert abs(depth_adjusted_pearson(predicted, measured, total_counts)[0]) < 0.25


def test_depth_adjusted_pearson_is_the_partial_correlation() -> None:
    # Log depth (-1, 0, 1), predicted (0, 3, 0), measured (2, 1, 0): neither residual (-1, 2, -1) and 0.
    depth = np.exp(np.array([-1.0, 0, 1]))
    assert depth_adjusted_pearson(column(0, 3, 0), column(2, 1, 0), depth)[0] == 0

    # The textbook formula from the three plain correlations.
    random = np.random.default_rng(0)
    x, y, counts = random.standard_normal(40), random.standard_normal(40), random.uniform(1, 9, 40)
    y = y + x
    z = np.log(counts)
    xy, xz, yz = np.corrcoef(x, y)[0, 1], np.corrcoef(x, z)[0, 1], np.corrcoef(y, z)[0, 1]
    by_hand = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert depth_adjusted_pearson(x[:, None], y[:, None], counts)[0] == pytest.approx(by_hand)


def test_explained_variance_by_hand() -> None:
    assert explained_variance(column(1, 2, 3), column(1, 2, 3))[0] == 1
    assert explained_variance(column(2, 2, 2), column(1, 2, 3))[0] == 0
    assert explained_variance(column(3, 2, 1), column(1, 2, 3))[0] == -3


def test_five_units_have_no_interval_and_six_do() -> None:
    assert bootstrap_interval(np.full(5, 0.4), seed=0) is None
    assert bootstrap_interval(np.full(6, 0.4), seed=0) == pytest.approx((0.4, 0.4))


def test_the_interval_holds_the_mean_and_repeats_with_its_seed() -> None:
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])

    interval = bootstrap_interval(values, seed=3)

    assert interval is not None
    assert interval[0] < 0.4 < interval[1]
    assert interval == bootstrap_interval(values, seed=3)
