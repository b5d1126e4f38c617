import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vst_dicom.predict.context import with_context
from vst_dicom.predict.ridge_head import RidgeHead


def test_context_is_the_mean_over_present_neighbors_and_the_tile_itself() -> None:
    # A 2 x 3 corner of a grid:   1 2 .
    #                             . 4 8
    embeddings = np.array([[1], [2], [4], [8]], dtype=np.float32)
    cells = np.array([[0, 0], [0, 1], [1, 1], [1, 2]], dtype=np.int32)

    joined = with_context(embeddings, cells, context=(1, 3))

    assert joined[:, 0].tolist() == [1, 2, 4, 8]
    assert joined[:, 1].tolist() == pytest.approx([7 / 3, 15 / 4, 15 / 4, 14 / 3])


def test_a_tile_two_cells_away_is_not_context() -> None:
    joined = with_context(
        np.array([[1], [100]], dtype=np.float32), np.array([[0, 0], [0, 2]], dtype=np.int32), context=(1, 3)
    )

    assert joined[:, 1].tolist() == [1, 100]


def test_the_last_column_of_a_row_is_no_neighbor_of_the_next_row() -> None:
    cells = np.array([[0, 3], [1, 0]], dtype=np.int32)

    assert with_context(np.array([[1], [9]], dtype=np.float32), cells, context=(1, 3))[:, 1].tolist() == [1, 9]


def test_no_tiles_give_no_features() -> None:
    assert with_context(np.empty((0, 4), np.float32), np.empty((0, 2), np.int32)).shape == (0, 12)


def test_context_needs_one_cell_per_tile() -> None:
    with pytest.raises(ValueError, match="cells must have shape"):
        with_context(np.zeros((2, 3), np.float32), np.zeros((1, 2), np.int32))


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30), st.integers(1, 9))
def test_working_piece_by_piece_changes_nothing(positions: set[tuple[int, int]], step: int) -> None:
    cells = np.array(sorted(positions), dtype=np.int32)
    embeddings = np.random.default_rng(0).standard_normal((len(cells), 3)).astype(np.float32)

    pieces = [with_context(embeddings, cells, slice(i, i + step)) for i in range(0, len(cells), step)]

    np.testing.assert_array_equal(np.concatenate(pieces), with_context(embeddings, cells))


def test_the_wider_square_is_the_mean_over_its_present_cells() -> None:
    # One row of seven tiles, worth 1 2 4 8 16 32 64.
    embeddings = np.array([[1], [2], [4], [8], [16], [32], [64]], dtype=np.float32)
    cells = np.array([[0, column] for column in range(7)], dtype=np.int32)

    joined = with_context(embeddings, cells)

    assert joined[3].tolist() == pytest.approx([8, (4 + 8 + 16) / 3, (2 + 4 + 8 + 16 + 32) / 5])
    assert joined[0].tolist() == pytest.approx([1, 3 / 2, 7 / 3])


def test_five_by_five_is_the_mean_over_twenty_five_tiles() -> None:
    cells = np.argwhere(np.ones((5, 5))).astype(np.int32)
    embeddings = np.arange(25, dtype=np.float32)[:, None] ** 2

    joined = with_context(embeddings, cells, slice(12, 13))

    inner = [6, 7, 8, 11, 12, 13, 16, 17, 18]
    assert joined.tolist() == [pytest.approx([144, sum(i * i for i in inner) / 9, sum(i * i for i in range(25)) / 25])]


def test_the_sides_come_in_the_order_given() -> None:
    embeddings, cells = np.array([[1], [3]], dtype=np.float32), np.array([[0, 0], [0, 2]], dtype=np.int32)

    assert with_context(embeddings, cells, context=(1, 5)).tolist() == [[1, 2], [3, 2]]
    assert with_context(embeddings, cells, context=(3,)).tolist() == [[1], [3]]
    assert with_context(embeddings, cells, context=(1,)).tolist() == [[1], [3]]


@pytest.mark.parametrize("context", [(), (1, 2), (3, 1), (1, 1), (-1,)])
def test_sides_that_are_even_or_do_not_grow_are_refused(context: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="context must be growing odd sides"):
        with_context(np.zeros((1, 1), np.float32), np.zeros((1, 2), np.int32), context=context)


def test_the_head_centers_projects_regresses_and_adds_the_intercept() -> None:
    head = RidgeHead(
        mean=np.array([1, 2], dtype=np.float32),
        components=np.array([[1, 0], [0, 2]], dtype=np.float32),
        coefficients=np.array([[1, 0], [3, 10]], dtype=np.float32),
        intercept=np.array([5, 7], dtype=np.float32),
    )

    # Features (2, 3): centered (1, 1), scores (1, 2), genes (1 + 6, 20) + (5, 7).
    assert head.apply(np.array([[2, 3]], dtype=np.float32)).tolist() == [[12, 27]]


def test_mean_features_give_the_intercept() -> None:
    head = RidgeHead(np.array([1.5], np.float32), np.ones((1, 1), np.float32), np.ones((1, 1), np.float32),
                     np.array([0.25], np.float32))  # fmt: skip

    assert head.apply(np.array([[1.5]], dtype=np.float32)).tolist() == [[0.25]]
