"""Transcripts follow the cells, the surfaces or the depth, as the table of genes says."""

import numpy as np
import pytest

from vst_dicom.simulate.cells import KINDS
from vst_dicom.simulate.expression import SimulatedCounts, count_transcripts
from vst_dicom.simulate.programs import GENES, REST, GeneKind, SimulatedGene
from vst_dicom.training.scores import depth_adjusted_pearson, pearson

N_SPOTS = 4000
INDEX = {gene.symbol: index for index, gene in enumerate(GENES)}
PLACES = (np.argwhere(np.ones((50, 80))) + 0.5) * 112.0


def draw(seed: int = 3, genes: tuple[SimulatedGene, ...] = GENES, median_counts: float = 4000) -> SimulatedCounts:
    cells = np.random.default_rng(0).uniform(0, [50, 14, 140, 2], (N_SPOTS, 4))
    return count_transcripts(cells, PLACES, genes, median_counts, np.ones(len(genes)), seed)


@pytest.fixture(scope="module")
def drawn() -> SimulatedCounts:
    return draw()


def test_the_same_seed_gives_the_same_counts(drawn: SimulatedCounts) -> None:
    np.testing.assert_array_equal(draw().counts, drawn.counts)
    assert not np.array_equal(draw(seed=4).counts, drawn.counts)


def test_counts_add_up_to_the_expected_ones(drawn: SimulatedCounts) -> None:
    """The mean over many spots of measured over expected counts is 1; its standard error is about 0.01."""
    depth = drawn.counts.sum(axis=1)
    expected = drawn.expected * depth[:, None] / 10_000

    ratio = drawn.counts[:, : len(GENES)].sum(axis=0) / expected.sum(axis=0)

    np.testing.assert_allclose(ratio, 1, atol=0.05)
    assert drawn.symbols == (*INDEX, *REST)
    assert np.median(depth) == pytest.approx(4000, rel=0.15)


def test_a_program_gives_its_weight_in_a_spot_of_one_kind_of_cell() -> None:
    cells = np.zeros((2, 4))
    cells[0, KINDS.index("tumor")] = 50
    cells[1, KINDS.index("tumor")] = 50
    genes = (SimulatedGene("EPCAM", GeneKind.PROGRAM, weights={"tumor": 90}),)

    drawn = count_transcripts(cells, PLACES[:2], genes, 1000, np.array([1.5]), 0)

    np.testing.assert_allclose(drawn.expected, 90 * 1.5)


def test_genes_that_the_picture_does_not_tell_of_are_independent_of_the_cells(drawn: SimulatedCounts) -> None:
    untold = [i for i, gene in enumerate(GENES) if gene.kind in (GeneKind.SMOOTH, GeneKind.SPECKLED)]
    told = np.log1p(drawn.expected[:, [INDEX["EPCAM"], INDEX["COL1A1"], INDEX["CD3E"]]])

    r = np.corrcoef(np.log1p(drawn.expected[:, untold]), told, rowvar=False)[: len(untold), len(untold) :]

    assert len(untold) == 20
    assert np.abs(r).max() < 0.2
    assert np.abs(r).mean() < 0.05


def test_neighbors_are_alike_in_smooth_genes_and_not_in_speckled_ones(drawn: SimulatedCounts) -> None:
    grid = np.log1p(drawn.expected).reshape(50, 80, len(GENES))
    alike = [np.corrcoef(grid[:, :-1, i].ravel(), grid[:, 1:, i].ravel())[0, 1] for i in range(len(GENES))]

    assert alike[INDEX["SERPINA3"]] > 0.95
    assert alike[INDEX["MUCL1"]] > 0.7
    assert abs(alike[INDEX["HBB"]]) < 0.06


def test_flat_genes_are_the_same_everywhere(drawn: SimulatedCounts) -> None:
    np.testing.assert_allclose(drawn.expected[:, INDEX["ACTB"]], 120)


def test_what_follows_the_depth_is_nothing_once_depth_is_partialled_out(drawn: SimulatedCounts) -> None:
    genes = [INDEX["MALAT1"], INDEX["NEAT1"]]
    depth = drawn.counts.sum(axis=1).astype(np.float64)
    amount = np.log(depth)[:, None].repeat(2, axis=1) + np.random.default_rng(1).normal(0, 0.3, (N_SPOTS, 2))

    measured = np.log1p(drawn.measured[:, genes])

    assert (pearson(amount, measured) > 0.5).all()
    assert (np.abs(depth_adjusted_pearson(amount, measured, depth)) < 0.06).all()


def test_every_gene_has_a_symbol_of_its_own() -> None:
    assert len({*INDEX, *REST}) == len(GENES) + len(REST) == 75
