from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.spots import section
from vst_dicom.training.components import decompose
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit import Recipe, choose, fit_head, form_of
from vst_dicom.training.fit_mlp import MlpRecipe, fit_mlp
from vst_dicom.training.fit_ridge import fit_ridge
from vst_dicom.training.scores import pearson

NETWORKS = MlpRecipe(n_components=12, n_hidden=16, dropout=0.0, n_epochs=60)


def curved(name: str, seed: int, n_spots: int = 150) -> SectionSpots:
    """A section whose genes follow the square and the size of the first feature: no line fits them."""
    part = section(name, "P", seed, n_spots=n_spots)
    first = part.features[:, 0] / 3
    genes = np.stack([first**2, np.abs(first), -np.abs(first)], axis=1)
    return replace(part, expression=genes.astype(np.float32))


def test_members_agree_where_there_are_many_spots_and_not_where_there_are_few() -> None:
    features = section("u", "P", 9).features
    spreads = [
        fit_ridge(decompose([section("a", "P", 0, n_spots=n)], 12), 0.1, 3, n_members=5).spread(features).mean()
        for n in (30, 3000)
    ]

    assert spreads[0] > 4 * spreads[1] > 0


def test_members_disagree_more_far_from_the_training_spots() -> None:
    head = fit_ridge(decompose([section("a", "P", 0)], 12), 0.1, 3, n_members=5)
    near = section("u", "P", 9).features

    assert head.spread(10 * near).mean() > 5 * head.spread(near).mean()


def test_members_stand_around_the_head_itself() -> None:
    head = fit_ridge(decompose([section("a", "P", 0), section("b", "P", 1)], 12), 0.1, 3, n_members=50)

    np.testing.assert_allclose(head.member_coefficients.mean(axis=0), head.coefficients, atol=0.15)


def test_members_do_not_move_the_prediction_and_follow_the_seed() -> None:
    parts = decompose([section("a", "P", 0), section("b", "P", 1)], 12)
    without, first, again, other = (
        fit_ridge(parts, 1.0, 2, n_members, seed) for n_members, seed in ((0, 0), (5, 0), (5, 0), (5, 1))
    )

    np.testing.assert_array_equal(first.coefficients, without.coefficients)
    np.testing.assert_array_equal(first.member_coefficients, again.member_coefficients)
    assert not np.array_equal(first.member_coefficients, other.member_coefficients)


def test_spots_with_more_counts_weigh_more() -> None:
    part = section("a", "P", 0, noise=0.0)
    spoiled = part.expression.copy()
    spoiled[:20] = np.random.default_rng(1).standard_normal((20, 3)) * 20
    counts = np.where(np.arange(60) < 20, 1.0, 10000.0)
    heavy = replace(part, expression=spoiled, total_counts=counts)
    even = replace(heavy, total_counts=np.ones(60))
    unseen = section("b", "P", 1, noise=0.0)

    agreement = [
        pearson(fit_ridge(decompose([p], 12), 0.01, 3).apply(unseen.features), unseen.expression)[:2].mean()
        for p in (heavy, even)
    ]

    assert agreement[0] > 0.95 > agreement[1]


def test_a_deep_section_weighs_no_more_than_a_shallow_one() -> None:
    parts = [section("a", "P", 0), section("b", "P", 1)]
    deeper = [parts[0], replace(parts[1], total_counts=100 * parts[1].total_counts)]

    heads = [fit_ridge(decompose(sections, 12), 1.0, 3) for sections in (parts, deeper)]

    np.testing.assert_allclose(heads[0].coefficients, heads[1].coefficients, rtol=1e-4, atol=1e-6)


def test_networks_are_the_same_for_the_same_seed_whatever_was_drawn_before() -> None:
    parts = decompose([curved("a", 0)], 12)
    first = fit_mlp(parts, NETWORKS, 0.01, 2, seed=3)
    torch.rand(7)
    again, other = fit_mlp(parts, NETWORKS, 0.01, 2, seed=3), fit_mlp(parts, NETWORKS, 0.01, 2, seed=4)

    for name, tensor in first.tensors().items():
        np.testing.assert_array_equal(tensor, again.tensors()[name])
    assert not np.array_equal(first.weights, other.weights)


def test_fitting_networks_leaves_torch_as_it_was() -> None:
    torch.manual_seed(5)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()

    fit_mlp(decompose([curved("a", 0)], 12), NETWORKS, 0.01, 1, seed=3)

    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_networks_learn_what_no_line_fits_and_are_then_chosen() -> None:
    parts = [curved("a", 0), curved("b", 1), curved("c", 2)]
    recipe = Recipe(n_components=12, alphas=(0.1,), ranks=(3,), weight_decays=(0.01,), mlp=NETWORKS)
    unseen = curved("d", 3)

    head, choice = fit_head(parts, recipe)

    assert choice.kind == "mlp"
    assert pearson(head.apply(unseen.features), unseen.expression).mean() > 0.8
    assert form_of(head, choice, recipe).type == "pca+mlp"
    assert head.n_members == 5


def test_ridge_regression_is_kept_where_a_line_fits() -> None:
    recipe = Recipe(n_components=12, alphas=(0.01,), ranks=(3,), weight_decays=(0.01,), mlp=NETWORKS)

    assert choose([section("a", "P", 0), section("b", "P", 1)], recipe).kind == "ridge"


def test_a_recipe_without_penalties_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one alpha"):
        choose([section("a", "P", 0), section("b", "P", 1)], Recipe(alphas=()))
