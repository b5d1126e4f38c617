from dataclasses import replace

import numpy as np
import pytest

from tests.training.spots import section
from vst_dicom.training.components import decompose
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit import Choice, Recipe, choose, fit_head
from vst_dicom.training.fit_ridge import fit_ridge
from vst_dicom.training.scores import pearson


def equally_deep(part: SectionSpots) -> SectionSpots:
    """Give all spots the same counts, so that all weigh the same."""
    return replace(part, total_counts=np.full(len(part.total_counts), 1000.0))


RECIPE = Recipe(n_components=12, alphas=(0.001, 100.0), ranks=(1, 3))


def test_the_head_learns_a_linear_truth_and_carries_it_to_another_section() -> None:
    head, _ = fit_head([section("a", "P", 0), section("b", "P", 1)], RECIPE)
    unseen = section("c", "P", 2)

    r = pearson(head.apply(unseen.features), unseen.expression)

    assert (r[:2] > 0.9).all()
    assert abs(r[2]) < 0.4


def test_without_penalty_the_head_is_ordinary_least_squares_within_sections() -> None:
    parts = [equally_deep(section("a", "P", 0)), equally_deep(section("b", "P", 1, offset=7.0))]
    head = fit_ridge(decompose(parts, 12), alpha=0.0, rank=3)

    x = np.concatenate([part.features - part.features.mean(axis=0) for part in parts]).astype(np.float64)
    y = np.concatenate([part.expression - part.expression.mean(axis=0) for part in parts]).astype(np.float64)
    expected, *_ = np.linalg.lstsq(x, y, rcond=None)
    np.testing.assert_allclose(head.components.T @ head.coefficients, expected, atol=1e-4)


def test_what_differs_between_sections_as_a_whole_is_not_learned() -> None:
    shifted = [section("a", "P", 0), section("b", "P", 1, offset=50.0)]
    plain = [section("a", "P", 0), section("b", "P", 1)]

    slopes = [fit_ridge(decompose(parts, 12), 1.0, 3) for parts in (shifted, plain)]

    np.testing.assert_allclose(
        slopes[0].components.T @ slopes[0].coefficients, slopes[1].components.T @ slopes[1].coefficients, atol=1e-3
    )


def test_mean_features_predict_mean_expression() -> None:
    parts = [section("a", "P", 0), section("b", "P", 1)]
    for part in parts:
        part.features[:] -= np.average(part.features, axis=0, weights=np.sqrt(part.total_counts))
    means = [np.average(part.expression, axis=0, weights=np.sqrt(part.total_counts)) for part in parts]

    centered, _ = fit_head(parts, RECIPE)

    np.testing.assert_allclose(centered.apply(np.zeros((1, 12), np.float32))[0], np.mean(means, axis=0), atol=1e-4)


def test_one_program_makes_all_genes_of_one_pattern() -> None:
    part = section("a", "P", 0)
    predicted = fit_ridge(decompose([part], 12), 0.1, 1).apply(part.features)

    assert np.linalg.matrix_rank(predicted - predicted.mean(axis=0), tol=1e-3) == 1


def test_own_and_neighborhood_features_get_the_same_total_variance() -> None:
    part = equally_deep(section("a", "P", 0))
    scaled = part.features * decompose([part], 12).block_scale

    assert scaled[:, :6].var(axis=0).sum() == pytest.approx(scaled[:, 6:].var(axis=0).sum(), rel=1e-5)


def test_more_spots_than_features_and_fewer_give_the_same_components() -> None:
    part = section("a", "P", 0, n_spots=12)
    wide = decompose([part], 12)  # 12 spots, 12 features: by spots
    tall = decompose([part.subset(np.arange(12).repeat(2))], 12)  # 24 spots: by features

    np.testing.assert_allclose(wide.directions[:5], tall.directions[:5], atol=1e-6)
    np.testing.assert_allclose(wide.variances[:5], tall.variances[:5], rtol=1e-6)


def test_the_choice_is_made_for_held_out_sections() -> None:
    assert choose([section("a", "P", 0), section("b", "P", 1)], RECIPE) == Choice(0.001, 3)


def test_a_single_section_is_cut_into_strips_to_choose_on() -> None:
    assert choose([section("a", "P", 0)], RECIPE) == Choice(0.001, 3)


def test_the_same_spots_give_the_same_head_bit_for_bit() -> None:
    first, _ = fit_head([section("a", "P", 0), section("b", "P", 1)], RECIPE)
    second, _ = fit_head([section("a", "P", 0), section("b", "P", 1)], RECIPE)

    for name in ("mean", "components", "coefficients", "intercept"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
