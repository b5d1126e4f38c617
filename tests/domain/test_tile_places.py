import numpy as np
import pytest

from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.tiles import TileGrid


@pytest.fixture
def corner_grid() -> TileGrid:
    return TileGrid(MatrixSize(10, 10), MatrixSize(2, 3), np.array([[0, 0], [1, 2]], dtype=np.int32))


def test_placing_keeps_a_predicted_zero_apart_from_background(corner_grid: TileGrid) -> None:
    maps = corner_grid.place(np.zeros((2, 1), dtype=np.float32), fill=np.nan)

    assert maps[0, 0, 0] == 0
    assert np.isnan(maps[0, 0, 1])


def test_placing_places_each_tile_of_each_gene(corner_grid: TileGrid) -> None:
    maps = corner_grid.place(np.array([[1, 2], [3, 4]], dtype=np.float32), fill=np.nan)

    assert maps.shape == (2, 2, 3)
    assert (maps[0, 0, 0], maps[1, 0, 0], maps[0, 1, 2], maps[1, 1, 2]) == (1, 2, 3, 4)
    assert np.isnan(maps).sum() == 8


def test_placing_refuses_rows_without_a_tile(corner_grid: TileGrid) -> None:
    with pytest.raises(ValueError, match="3 rows of values for 2 tiles"):
        corner_grid.place(np.zeros((3, 1), dtype=np.float32), fill=np.nan)
