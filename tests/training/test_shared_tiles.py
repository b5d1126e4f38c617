import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.training.shared_tiles import NEAR, share_tiles

SIZE = MatrixSize(100, 100)


def test_a_place_lies_in_the_middle_of_its_own_tile_and_cells_go_by_rows() -> None:
    tiles, tile_of = share_tiles(np.array([[499.5, 299.5]]), SIZE, 1)

    assert tiles[tile_of[0, 4]].tolist() == [450, 250]
    assert tiles[tile_of[0]].tolist() == [
        [350, 150], [450, 150], [550, 150], [350, 250], [450, 250], [550, 250], [350, 350], [450, 350], [550, 350]
    ]  # fmt: skip


def test_places_one_tile_apart_share_all_but_a_column() -> None:
    tiles, tile_of = share_tiles(np.array([[499.5, 499.5], [599.5, 499.5]]), SIZE, 2)

    assert len(tiles) == 25 + 5
    assert tile_of[0, 13] == tile_of[1, 12] == 1
    assert tile_of[0, 12] == tile_of[1, 11] == 0


def test_a_tile_a_quarter_away_is_taken_and_one_farther_is_not() -> None:
    for apart, n_tiles in ((125.0, 9 + 3), (126.0, 18)):
        tiles, _ = share_tiles(np.array([[499.5, 499.5], [499.5 + apart, 499.5]]), SIZE, 1)
        assert len(tiles) == n_tiles


def test_spots_200_um_apart_need_less_than_half_the_tiles() -> None:
    places = np.argwhere(np.ones((12, 12)))[:, ::-1] * 290.0 + 1000  # 0.688 um pixels
    tiles, tile_of = share_tiles(places, MatrixSize(163, 163), 2)

    assert tile_of.shape == (144, 25)
    assert len(tiles) < 0.5 * 144 * 25


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), min_size=1, max_size=12, unique=True))
def test_every_cell_has_a_tile_near_where_it_should_be(places: list[tuple[int, int]]) -> None:
    centers = np.array(places, dtype=np.float64) + 0.5
    tiles, tile_of = share_tiles(centers, SIZE, 2)

    steps = np.argwhere(np.ones((5, 5)))[:, ::-1] - 2
    wanted = centers[:, None] - 49.5 + steps[None] * 100
    assert (np.abs(tiles[tile_of] - wanted) <= 100 * NEAR + 0.5).all()
    assert tile_of[:, 12].tolist() == list(range(len(places)))
    assert set(tile_of.ravel()) == set(range(len(tiles)))
