import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.tiles import TileGrid
from vst_dicom.tiles.coarse import thin


def grid_of(cells: list[tuple[int, int]], n_rows: int = 4, n_columns: int = 5) -> TileGrid:
    return TileGrid(MatrixSize(100, 200), MatrixSize(n_rows, n_columns), np.array(sorted(cells), dtype=np.int32))


def test_a_square_is_answered_by_its_first_tile_along_rows() -> None:
    """The first square holds tissue in its second row only, the square beside it in its first row."""
    thinned = thin(grid_of([(0, 2), (0, 3), (1, 0), (1, 1), (3, 4)]))

    assert thinned.picked.cells.tolist() == [[0, 2], [1, 0], [3, 4]]
    assert thinned.is_picked.tolist() == [True, False, True, False, True]
    assert thinned.squares.cells.tolist() == [[0, 0], [0, 1], [1, 2]]
    assert thinned.order.tolist() == [1, 0, 2]
    assert (thinned.squares.tile_size, thinned.squares.size) == (MatrixSize(200, 400), MatrixSize(2, 3))


@given(cells=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 4))))
def test_every_tile_lies_in_a_square_that_is_answered_from_inside(cells: set[tuple[int, int]]) -> None:
    grid = grid_of(list(cells)) if cells else TileGrid(MatrixSize(1, 1), MatrixSize(4, 5), np.empty((0, 2), np.int32))

    thinned = thin(grid)

    assert {(row // 2, column // 2) for row, column in cells} == set(map(tuple, thinned.squares.cells.tolist()))
    np.testing.assert_array_equal(thinned.picked.cells[thinned.order] // 2, thinned.squares.cells)
