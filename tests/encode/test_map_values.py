"""Scaling of values to stored numbers, and their places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.tiles import TileGrid
from vst_dicom.encode.map_values import (
    LinearMapping,
    ValueRange,
    padding_below,
    store_as_they_are,
    store_whole_numbers,
)


def grid_with(tiles: np.ndarray) -> TileGrid:
    """A grid with tiles where the mask has them."""
    return TileGrid(MatrixSize(10, 10), MatrixSize(*tiles.shape), np.argwhere(tiles).astype(np.int32))


masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@st.composite
def maps(draw, elements):
    """A grid, and values for its tiles."""
    grid = grid_with(draw(masks))
    n_channels = draw(st.integers(1, 4))
    return grid, draw(hnp.arrays(np.float32, (len(grid), n_channels), elements=elements))


any_value = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None)
@given(maps(any_value))
def test_whole_numbers_decode_to_any_values_within_half_a_step(example):
    grid, values = example
    mapping = LinearMapping.over(ValueRange.of(values))

    stored = store_whole_numbers(values, grid, mapping)

    rows, columns = grid.cells.T
    found = stored[:, rows, columns].T
    assert (found >= 1).all()
    decoded = found * mapping.slope + mapping.intercept
    rounding = 1e-15 * np.abs(values).max(initial=0)
    assert (np.abs(decoded - values) <= mapping.slope * 0.500001 + rounding).all()
    assert (stored[:, ~grid.mask] == 0).all()


@settings(deadline=None)
@given(maps(any_value | st.just(np.nan)))
def test_what_has_no_value_is_background_and_nothing_else_is(example):
    grid, values = example

    stored = store_whole_numbers(values, grid, LinearMapping.over(ValueRange.of(values)))

    expected = grid.place(values, fill=np.nan)
    assert ((stored == 0) == np.isnan(expected)).all()


@settings(deadline=None)
@given(maps(st.floats(-(2.0**99), 2.0**99, width=32) | st.just(np.nan)))
def test_floats_are_kept_and_padding_lies_below_them(example):
    grid, values = example
    padding = padding_below(ValueRange.of(values))

    stored = store_as_they_are(values, grid, padding)

    expected = grid.place(values, fill=np.nan)
    assert np.float32(padding) < np.nanmin(values, initial=np.inf)
    assert (stored[~np.isnan(expected)] == expected[~np.isnan(expected)]).all()
    assert (stored[np.isnan(expected)] == np.float32(padding)).all()


def test_the_least_value_is_stored_as_1_and_the_greatest_as_65535():
    grid = grid_with(np.ones((1, 3), dtype=np.bool_))
    values = np.array([[0.5], [1.5], [2.5]], dtype=np.float32)

    stored = store_whole_numbers(values, grid, LinearMapping.over(ValueRange.of(values)))

    assert stored.ravel().tolist() == [1, 32768, 65535]


def test_equal_values_get_a_slope_of_a_unit_over_all_steps():
    mapping = LinearMapping.over(ValueRange.of(np.full((4, 1), 1.5, dtype=np.float32)))

    assert mapping.slope[0] == 1 / 65534
    assert mapping.slope[0] + mapping.intercept[0] == pytest.approx(1.5)


def test_a_channel_without_any_value_is_all_background():
    grid = grid_with(np.ones((2, 2), dtype=np.bool_))
    values = np.stack([np.full(4, np.nan), np.arange(4)], axis=1).astype(np.float32)

    stored = store_whole_numbers(values, grid, LinearMapping.over(ValueRange.of(values)))

    assert not stored[0].any()
    assert stored[1].all()


@pytest.mark.parametrize(("least", "padding"), [(-0.25, -2), (0, -1), (2.5, 1), (3, 2), (-1e9, -1000000064)])
def test_padding_is_the_whole_number_below_or_the_next_that_there_is(least, padding):
    assert padding_below(ValueRange(np.array([least, 5.0]), np.array([6.0, 6.0]))) == padding


def test_values_for_other_tiles_are_refused():
    values = np.zeros((3, 1), dtype=np.float32)

    with pytest.raises(ValueError, match="3 rows of values for 4 tiles"):
        store_whole_numbers(
            values, grid_with(np.ones((2, 2), dtype=np.bool_)), LinearMapping.over(ValueRange.of(values))
        )
