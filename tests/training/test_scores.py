import numpy as np
import pytest

from vst_dicom.training.scores import (
    bootstrap_medians,
    calibration_slope,
    depth_adjusted_pearson,
    explained_variance,
    false_discovery_rate,
    mean_absolute_error,
    pearson,
    permutation_p,
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


def test_mean_absolute_error_by_hand() -> None:
    assert mean_absolute_error(column(1, 2, 3), column(1, 4, 2))[0] == 1


def test_the_calibration_slope_is_that_of_measured_on_predicted() -> None:
    assert calibration_slope(column(0, 1, 2), column(5, 8, 11))[0] == pytest.approx(3)
    assert calibration_slope(column(1, 1, 1), column(5, 8, 11))[0] == 0


def test_five_units_have_no_interval_and_six_do() -> None:
    assert bootstrap_medians(np.full((5, 1), 0.4), seed=0) is None
    low, high = bootstrap_medians(np.full((6, 1), 0.4), seed=0) or ([0], [0])
    assert (low[0], high[0]) == (0.4, 0.4)


def test_the_interval_holds_the_median_and_repeats_with_its_seed() -> None:
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])[:, None]

    interval = bootstrap_medians(values, seed=3)

    assert interval is not None
    assert interval[0][0] < 0.4 < interval[1][0]
    assert interval[0][0] == bootstrap_medians(values, seed=3)[0][0]  # type: ignore[index]


def test_the_interval_of_the_median_by_enumeration() -> None:
    # Eight patients, one of them at 1: the median of a draw exceeds 0 only when that one comes five times or more of
    # eight, and is 1/2 when it comes four times; both together have a chance of 1.0 %, so the 97.5 % end is 0.
    values = np.array([1.0, 0, 0, 0, 0, 0, 0, 0])[:, None]
    interval = bootstrap_medians(values, seed=0, n_draws=4000)

    assert interval is not None
    assert (interval[0][0], interval[1][0]) == (0, 0)


def test_many_genes_get_the_same_draws_as_one() -> None:
    values = np.random.default_rng(0).uniform(size=(7, 1030))
    low, high = bootstrap_medians(values, 0, 50) or (None, None)
    one = bootstrap_medians(values[:, 600:601], 0, 50)

    assert low is not None and high is not None and one is not None
    assert (low[600], high[600]) == (one[0][0], one[1][0])


def test_a_permutation_counts_the_observation_itself() -> None:
    null = np.array([[0.1], [0.2], [0.5], [0.3]])

    assert permutation_p(np.array([0.3]), null)[0] == pytest.approx(3 / 5)
    assert permutation_p(np.array([0.9]), null)[0] == pytest.approx(1 / 5)


def test_false_discovery_rate_by_hand() -> None:
    # 0.01 × 4/1, 0.02 × 4/2, 0.03 × 4/3, 0.5 × 4/4, each at most what follows.
    found = false_discovery_rate(np.array([0.5, 0.01, 0.03, 0.02]))

    assert found == pytest.approx([0.5, 0.04, 0.04, 0.04])
