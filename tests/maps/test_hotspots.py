import numpy as np
import pytest

from tests.maps.slides import SPACING, TILE, ragged_grid, smooth_noise, square_inside
from tests.results import full_grid, make_gene
from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.result import Hotspot
from vst_dicom.domain.tissue import STROMA, TUMOR_LIKE
from vst_dicom.maps.gi_star import Neighborhoods, TissueKinds
from vst_dicom.maps.hotspots import Doubt, HotspotSearch, find_hotspots, keep_stable, outline_tiles
from vst_dicom.maps.surrogates import SurrogateMaps

GRID = full_grid(30, 30, TILE)
SQUARE = np.array([30 * row + column for row in range(10, 15) for column in range(20, 25)])


def table(values: np.ndarray) -> ExpressionTable:
    genes = tuple(make_gene(f"G{number}") for number in range(values.shape[1]))
    return ExpressionTable(genes, values.astype(np.float32))


def search(
    values: np.ndarray,
    grid=GRID,
    usable: np.ndarray | None = None,
    tissue_class: np.ndarray | None = None,
    doubt: Doubt | None = None,
) -> HotspotSearch:
    usable = np.ones(len(grid), np.bool_) if usable is None else usable
    return find_hotspots(table(values), grid, usable, SPACING, tissue_class, doubt)


def noise(n_genes: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(1, 0.5, (len(GRID), n_genes))


def planted(n_genes: int = 1) -> np.ndarray:
    values = noise(n_genes)
    values[SQUARE, 0] += 2
    return values


def find_one(values: np.ndarray, **given: np.ndarray | Doubt | None) -> Hotspot:
    (hotspot,) = search(values, **given).hotspots
    return hotspot


def test_a_planted_square_is_found_with_its_facts() -> None:
    hotspot = find_one(planted(2))

    assert (hotspot.number, hotspot.gene.gene.symbol) == (1, "G0")
    assert np.isin(SQUARE, hotspot.tiles).sum() >= 20
    assert len(hotspot.tiles) <= 50
    assert hotspot.area_mm2 == pytest.approx(len(hotspot.tiles) * 0.112**2)
    assert hotspot.mean == pytest.approx(planted(2)[hotspot.tiles, 0].mean(), rel=1e-4)
    assert hotspot.class_mean == pytest.approx(planted(2)[:, 0].mean(), rel=1e-4)
    assert hotspot.z > hotspot.threshold > 3
    assert (hotspot.interval, hotspot.tissue_class, hotspot.masked_nearby) == (None, None, 0)


def test_the_same_slide_gives_the_same_hotspots() -> None:
    assert find_one(planted()).threshold == find_one(planted()).threshold


def test_what_is_high_as_all_of_its_tissue_class_is_no_hotspot() -> None:
    """Tumor at 5, stroma at 1: a nest of tumor in stroma is hot for the slide, not for its class."""
    tissue_class = np.full(len(GRID), STROMA, np.int8)
    tissue_class[:300] = TUMOR_LIKE
    tissue_class[SQUARE] = TUMOR_LIKE
    values = noise()
    values[tissue_class == TUMOR_LIKE, 0] += 4

    assert search(values, tissue_class=tissue_class).hotspots == ()


def test_a_hotspot_names_the_class_that_it_is_compared_with() -> None:
    tissue_class = np.full(len(GRID), STROMA, np.int8)
    tissue_class[600:] = TUMOR_LIKE
    values = planted()
    values[600:, 0] += 50

    hotspot = find_one(values, tissue_class=tissue_class)

    assert hotspot.tissue_class == STROMA
    assert hotspot.class_mean == pytest.approx(values[:600, 0].mean(), rel=1e-4)


def test_tiles_that_failed_quality_never_belong_and_have_no_gi_star() -> None:
    usable = np.ones(len(GRID), np.bool_)
    usable[SQUARE[:15]] = False

    found = search(planted(), usable=usable)

    assert not any(np.isin(hotspot.tiles, SQUARE[:15]).any() for hotspot in found.hotspots)
    assert np.isnan(found.gi_star[:, 0]).tolist() == (~usable).tolist()


def test_members_that_disagree_unmake_a_hotspot() -> None:
    agreeing, against = planted()[None], noise()[None]
    nowhere = np.zeros((0, 2), np.int32)

    assert search(planted(), doubt=Doubt(np.concatenate([agreeing] * 5), None, nowhere)).hotspots
    mixed = np.concatenate([*[agreeing] * 4, against])
    assert search(planted(), doubt=Doubt(mixed, None, nowhere)).hotspots == ()


def test_an_interval_that_reaches_down_to_similar_tissue_unmakes_a_hotspot() -> None:
    nowhere = np.zeros((0, 2), np.int32)

    narrow = find_one(planted(), doubt=Doubt(None, np.full((len(GRID), 1), 0.5, np.float32), nowhere))

    assert narrow.interval == pytest.approx((narrow.mean - 0.5, narrow.mean + 0.5))
    wide = Doubt(None, np.full((len(GRID), 1), 3, np.float32), nowhere)
    assert search(planted(), doubt=wide).hotspots == ()


def test_masked_tissue_nearby_is_counted() -> None:
    far, near = np.array([[0, 0]], np.int32), np.array([[9, 30], [12, 26]], np.int32)
    expected = find_one(planted())
    around = sum(np.abs(GRID.cells[expected.tiles] - cell).max(axis=1).min() <= 2 for cell in GRID.cells)

    assert find_one(planted(), doubt=Doubt(None, None, far)).masked_nearby == 0
    assert find_one(planted(), doubt=Doubt(None, None, near[1:])).masked_nearby == pytest.approx(1 / (around + 1))


def test_a_speck_is_no_hotspot() -> None:
    values = noise()
    values[[400, 401], 0] += 50

    assert search(values).hotspots == ()


def test_flat_maps_and_small_slides_have_no_hotspot() -> None:
    assert search(np.ones((len(GRID), 2))).hotspots == ()
    small = full_grid(9, 11, TILE)
    assert search(np.arange(99.0)[:, None], grid=small).hotspots == ()
    assert search(planted()[:0], grid=type(GRID)(TILE, MatrixSize(3, 3), np.zeros((0, 2), np.int32))).hotspots == ()
    assert search(planted(), usable=np.zeros(len(GRID), np.bool_)).hotspots == ()


def test_the_outline_runs_along_tile_edges_with_its_hole() -> None:
    grid = full_grid(3, 3, MatrixSize(10, 20))
    ring = np.array([0, 1, 2, 3, 5, 6, 7, 8])

    outer, hole = outline_tiles(grid, ring)

    assert {tuple(point) for point in outer} == {(0, 0), (60, 0), (60, 30), (0, 30)}
    assert {tuple(point) for point in hole} == {(20, 10), (40, 10), (40, 20), (20, 20)}


def test_gi_star_of_a_peak_by_hand() -> None:
    """One tile of 900 at 29.98 standard deviations, seen from a neighborhood of 21 tiles."""
    values = np.zeros((900, 1), np.float32)
    values[465] = 1
    near = Neighborhoods(GRID, np.arange(900), SPACING)

    z = near.gi_star(TissueKinds(np.zeros(900, int)).standardize(values))

    mean, deviation = 1 / 900, np.sqrt(1 / 900 - 1 / 900**2)
    expected = (1 - 21 * mean) / deviation / np.sqrt((900 * 21 - 21**2) / 899)
    assert z[465, 0] == pytest.approx(expected, rel=1e-4)
    assert (z > 0).sum() == 21


def test_surrogates_are_as_smooth_as_the_maps_on_ragged_tissue() -> None:
    random = np.random.default_rng(1)
    grid = ragged_grid(random)
    maps = TissueKinds(np.zeros(len(grid), int)).normal_scores(smooth_noise(random, grid, 1.5, 3))
    tile_at = grid.place(np.arange(len(grid))[:, None], fill=-1)[0]
    left, right = tile_at[:, :-2], tile_at[:, 2:]
    pair = (left >= 0) & (right >= 0)
    makes = SurrogateMaps(maps, grid.cells)

    drawn = np.concatenate([maps for _ in range(40) for maps in makes.draw(random)], axis=1)

    def correlate(values: np.ndarray) -> float:
        return float((values[left[pair]] * values[right[pair]]).mean() / (values**2).mean())

    assert correlate(drawn) == pytest.approx(correlate(maps), abs=0.06)
    assert drawn.var() == pytest.approx(1, abs=0.15)


def test_genes_whose_maps_are_alike_get_surrogates_that_are_alike() -> None:
    random = np.random.default_rng(2)
    grid = ragged_grid(random)
    one, other = smooth_noise(random, grid, 1, 2).T
    maps = np.column_stack([one, one, other]).astype(np.float32)

    (drawn,) = SurrogateMaps(maps, grid.cells).draw(random)

    assert np.corrcoef(drawn.T)[0, 1] > 0.999
    assert abs(np.corrcoef(drawn.T)[0, 2]) < 0.3


def test_signal_free_maps_rarely_have_a_hotspot_and_a_planted_one_is_found() -> None:
    """25 slides of each smoothness, ragged; then 40 with 25 tiles raised by 2 standard deviations.

    Smoother maps bring about such squares by themselves, so there no test of the level can find one.
    """
    random = np.random.default_rng(0)
    n_false = n_found = 0
    for sigma in (0.5, 1.0, 1.5, 2.5):
        for _ in range(25):
            grid = ragged_grid(random)
            n_false += bool(search(smooth_noise(random, grid, sigma), grid).hotspots)
    for _ in range(40):
        grid = ragged_grid(random)
        values, square = smooth_noise(random, grid, 0.5), square_inside(random, grid)
        values[square] += 2
        n_found += any(np.isin(square, hotspot.tiles).sum() >= 5 for hotspot in search(values, grid).hotspots)

    assert n_false <= 5
    assert n_found >= 36


def keep(values: np.ndarray, shifted: np.ndarray) -> HotspotSearch:
    usable = np.ones(len(GRID), np.bool_)
    return keep_stable(search(values), table(shifted), GRID, usable, SPACING, None)


def test_a_hotspot_that_is_there_on_a_shifted_grid_too_stays() -> None:
    values = planted()

    assert [h.tiles.tolist() for h in keep(values, values).hotspots] == [find_one(values).tiles.tolist()]


def test_a_hotspot_that_hangs_on_the_place_of_the_grid_goes_and_the_others_are_numbered_anew() -> None:
    values = planted(2)
    other = np.array([30 * row + column for row in range(20, 25) for column in range(5, 10)])
    values[other, 1] += 2
    assert [h.number for h in search(values).hotspots] == [1, 2]

    (left,) = keep(values, np.column_stack([noise(), values[:, 1]])).hotspots

    assert (left.number, left.gene.gene.symbol) == (1, "G1")
    assert np.isin(other, left.tiles).sum() >= 20
