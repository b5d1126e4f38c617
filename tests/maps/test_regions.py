import numpy as np
import pytest

from tests.results import full_grid, table_of
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.maps.regions import find_top_regions, outline_tiles

SPACING = PixelSpacing.from_um(1.0, 2.0)


def planted(*corners: tuple[int, int, int]) -> np.ndarray:
    """A 20 x 20 map of small noise with squares (row, column, side) of high values."""
    values = np.random.default_rng(0).uniform(0, 0.1, (1, 20, 20))
    for row, column, side in corners:
        values[0, row : row + side, column : column + side] += 5
    return values


def test_a_planted_square_is_found_with_its_area_and_mean() -> None:
    values = planted((3, 4, 4))

    (region,) = find_top_regions(table_of(values, "ERBB2"), full_grid(20, 20), np.ones(400, np.bool_), SPACING)

    assert region.number == 1
    assert set(region.tiles) >= {20 * row + column for row in range(3, 7) for column in range(4, 8)}
    assert region.area_mm2 == pytest.approx(len(region.tiles) * 0.1 * 0.2)
    assert region.mean == pytest.approx(values[0].ravel()[region.tiles].mean(), rel=1e-5)


def test_regions_are_numbered_through_genes_largest_first() -> None:
    values = np.concatenate([planted((0, 0, 3), (10, 10, 3)), planted((5, 5, 4))])

    regions = find_top_regions(table_of(values, "A", "B"), full_grid(20, 20), np.ones(400, np.bool_), SPACING)

    assert [region.number for region in regions] == [1, 2, 3]
    assert [region.gene.gene.symbol for region in regions] == ["A", "A", "B"]


def test_a_speck_of_four_tiles_is_no_region() -> None:
    assert find_top_regions(table_of(planted((3, 4, 2)), "A"), full_grid(20, 20), np.ones(400, np.bool_), SPACING) == ()


def test_tiles_that_failed_quality_never_belong() -> None:
    usable = np.ones(400, np.bool_)
    usable[[20 * row + column for row in range(3, 7) for column in range(4, 8)]] = False

    regions = find_top_regions(table_of(planted((3, 4, 4)), "A"), full_grid(20, 20), usable, SPACING)

    assert not any(set(region.tiles) & set(np.flatnonzero(~usable)) for region in regions)


def test_a_flat_map_has_no_region() -> None:
    values = np.ones((1, 20, 20))

    assert find_top_regions(table_of(values, "A"), full_grid(20, 20), np.ones(400, np.bool_), SPACING) == ()


def test_outline_runs_along_tile_edges_with_its_hole() -> None:
    grid = full_grid(3, 3, MatrixSize(10, 20))
    ring = np.array([0, 1, 2, 3, 5, 6, 7, 8])

    outer, hole = outline_tiles(grid, ring)

    assert {tuple(point) for point in outer} == {(0, 0), (60, 0), (60, 30), (0, 30)}
    assert {tuple(point) for point in hole} == {(20, 10), (40, 10), (40, 20), (20, 20)}
