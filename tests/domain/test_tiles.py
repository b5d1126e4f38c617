import numpy as np
import pytest

from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.tiles import TileGrid


def cells(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, dtype=np.int32).reshape(-1, 2)


def test_grid_places_tiles_in_base_pixels_with_x_first() -> None:
    grid = TileGrid(MatrixSize(100, 200), MatrixSize(3, 4), cells((0, 1), (2, 3)))

    np.testing.assert_array_equal(grid.corners_px, [[200, 0], [600, 200]])
    np.testing.assert_array_equal(grid.centers_px, [[299.5, 49.5], [699.5, 249.5]])


def test_grid_mask_is_true_at_its_tiles_only() -> None:
    grid = TileGrid(MatrixSize(10, 10), MatrixSize(2, 2), cells((1, 0)))

    np.testing.assert_array_equal(grid.mask, [[False, False], [True, False]])
    assert len(grid) == 1


@pytest.mark.parametrize(
    "wrong",
    [cells((0, 4)), cells((-1, 0)), cells((1, 0), (0, 0)), cells((0, 0), (0, 0)), np.zeros((2, 3), dtype=np.int32)],
    ids=["outside", "negative", "unsorted", "twice", "shape"],
)
def test_grid_refuses_cells_that_do_not_fit(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cells"):
        TileGrid(MatrixSize(10, 10), MatrixSize(3, 4), wrong)
