import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vst_dicom.simulate.noise import SmoothNoise, make_rng, scatter


def test_a_grid_and_single_points_read_the_same_surface() -> None:
    noise = SmoothNoise(3, "surface", 40)
    y_um, x_um = np.array([-55.0, 0.0, 12.5, 900.0]), np.array([-1.0, 3.0, 5000.0])

    on_grid = noise.on_grid(y_um, x_um)
    at = noise.at(np.repeat(y_um, 3), np.tile(x_um, 4)).reshape(4, 3)

    np.testing.assert_allclose(on_grid, at, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(start=st.integers(-2000, 2000), n=st.integers(1, 40))
def test_a_part_of_a_grid_has_exactly_the_values_of_the_whole(start: int, n: int) -> None:
    noise = SmoothNoise(1, "parts", 7.5)
    rows = np.arange(start, start + 60) * 0.5
    columns = np.arange(100, 180) * 0.5

    whole = noise.on_grid(rows, columns)
    part = noise.on_grid(rows[5 : 5 + n], columns[11:31])

    np.testing.assert_array_equal(part, whole[5 : 5 + n, 11:31])


def test_a_surface_has_mean_0_and_deviation_1() -> None:
    values = SmoothNoise(8, "moments", 2).on_grid(np.arange(0, 512.0), np.arange(0, 512.0))

    assert abs(values.mean()) < 0.02
    assert values.std() == pytest.approx(1, abs=0.03)


def test_seed_and_name_make_different_surfaces() -> None:
    where = np.arange(0, 50.0)
    first = SmoothNoise(1, "a", 5).on_grid(where, where)

    assert not np.array_equal(first, SmoothNoise(2, "a", 5).on_grid(where, where))
    assert not np.array_equal(first, SmoothNoise(1, "b", 5).on_grid(where, where))
    np.testing.assert_array_equal(first, SmoothNoise(1, "a", 5).on_grid(where, where))


def test_scattered_points_of_a_small_box_are_among_those_of_a_large_one() -> None:
    small = scatter(5, "cells", 12, 0.8, (100, -40, 200, 60))
    large = scatter(5, "cells", 12, 0.8, (-500, -500, 500, 500))

    everything = {(y, x, *chance) for y, x, chance in zip(large.y_um, large.x_um, large.chance, strict=True)}
    assert len(small.y_um) == 9 * 10
    assert {(y, x, *chance) for y, x, chance in zip(small.y_um, small.x_um, small.chance, strict=True)} <= everything


def test_without_jitter_points_are_the_middles_of_the_cells() -> None:
    points = scatter(5, "cells", 10, 0, (0, 0, 15, 5))

    np.testing.assert_allclose(points.y_um, [5, 15])
    np.testing.assert_allclose(points.x_um, [5, 5])


def test_chances_are_uniform_and_independent_of_their_neighbors() -> None:
    chance = scatter(0, "chance", 1, 1, (0, 0, 199, 199)).chance

    assert chance.shape == (200 * 200, 4)
    assert chance.min() >= 0
    assert chance.max() < 1
    np.testing.assert_allclose(chance.mean(axis=0), 0.5, atol=0.01)
    assert abs(np.corrcoef(chance[:-1, 0], chance[1:, 0])[0, 1]) < 0.02
    assert abs(np.corrcoef(chance[:, 0], chance[:, 1])[0, 1]) < 0.02


def test_a_generator_depends_on_its_seed_and_name_only() -> None:
    assert make_rng(4, "x").integers(1 << 40) == make_rng(4, "x").integers(1 << 40)
    assert make_rng(4, "x").integers(1 << 40) != make_rng(4, "y").integers(1 << 40)
