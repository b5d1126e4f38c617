import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vst_dicom.domain.expression import Gene
from vst_dicom.domain.signature import Member, ScoredGene, Scoring, Signature, combine


def members(*weights: float) -> tuple[Member, ...]:
    return tuple(Member(Gene(f"G{number}"), weight) for number, weight in enumerate(weights))


def signature(scoring: Scoring, *weights: float) -> Signature:
    return Signature("s", "S", scoring, members(*weights), "somebody", "10.1/1")


def scored(weight: float = 1.0, mean: float = 0.0, sd: float = 1.0) -> ScoredGene:
    return ScoredGene(Gene("G"), weight, mean, sd)


def test_mean_z_uses_the_training_cohort_and_counts_signs() -> None:
    genes = [scored(1, mean=1.0, sd=0.5), scored(-1, mean=2.0, sd=2.0)]

    score = combine(Scoring.MEAN_Z, genes, np.array([[2.0, 6.0], [1.0, 2.0]]))

    assert score.tolist() == [(2 - 2) / 2, 0.0]


def test_mean_z_of_a_cold_slide_stays_cold() -> None:
    cold = combine(Scoring.MEAN_Z, [scored(mean=3.0)], np.array([[1.0], [1.0], [1.0]]))

    assert cold.tolist() == [-2.0, -2.0, -2.0]


def test_a_weighted_sum_is_over_binary_logarithms() -> None:
    values = np.log1p(np.array([[7.0, 3.0]]))

    score = combine(Scoring.WEIGHTED_SUM, [scored(0.5, mean=9), scored(-0.25, sd=9)], values)

    assert score.tolist() == pytest.approx([0.5 * 3 - 0.25 * 2])


def test_the_geometric_mean_is_of_counts() -> None:
    values = np.log1p(np.array([[4.0, 9.0], [0.0, 0.0], [-0.5, -0.5]]))

    score = combine(Scoring.GEOMETRIC_MEAN, [scored(), scored()], values)

    assert score.tolist() == pytest.approx([6.0, 1e-4, 1e-4], rel=1e-3)


def test_a_set_of_genes_without_a_score_gives_none() -> None:
    with pytest.raises(ValueError, match="without a score"):
        combine(Scoring.NOT_SCORED, [scored()], np.ones((2, 1)))


def test_values_that_do_not_fit_the_genes_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        combine(Scoring.MEAN_Z, [scored()], np.ones((2, 2)))
    with pytest.raises(ValueError, match="at least one gene"):
        combine(Scoring.MEAN_Z, [], np.ones((2, 0)))


@given(st.permutations(range(4)), st.sampled_from([one for one in Scoring if one is not Scoring.NOT_SCORED]))
def test_the_order_of_genes_does_not_matter(order: list[int], scoring: Scoring) -> None:
    weights = (1, -1, 1, 1) if scoring is Scoring.MEAN_Z else (0.3, -0.2, 0.7, 0.01)
    genes = [scored(weight, mean=number, sd=1 + number) for number, weight in enumerate(weights)]
    values = np.random.default_rng(0).uniform(0, 3, (5, 4))

    shuffled = combine(scoring, [genes[index] for index in order], values[:, order])

    assert shuffled == pytest.approx(combine(scoring, genes, values), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("n_genes", "n_usable", "fault"),
    [
        (18, 9, ""),
        (18, 8, "8 of 18 genes usable, fewer than half"),
        (5, 3, ""),
        (4, 2, "2 of 4 genes usable, fewer than 3"),
        (3, 3, ""),
        (3, 2, "2 of 3 genes usable, all are needed"),
        (2, 2, ""),
        (2, 1, "1 of 2 genes usable, all are needed"),
        (2, 0, "0 of 2 genes usable, fewer than half"),
    ],
)
def test_a_score_needs_half_of_the_genes_and_at_least_three(n_genes: int, n_usable: int, fault: str) -> None:
    whole = signature(Scoring.MEAN_Z, *[1.0] * n_genes)

    assert whole.find_fault(whole.members[:n_usable]) == fault


def test_half_of_the_genes_without_half_of_the_weight_are_refused() -> None:
    whole = signature(Scoring.WEIGHTED_SUM, 0.1, 0.1, -0.1, 0.5, 0.1, 0.1)

    assert (
        whole.find_fault(whole.members[:3]) == "3 of 6 genes usable, but they carry 30% of the weights, less than half"
    )
    assert whole.find_fault(whole.members[3:]) == ""


def test_a_contrast_needs_genes_of_both_sides() -> None:
    whole = signature(Scoring.MEAN_Z, -1, -1, -1, -1, 1, 1)

    assert whole.find_fault(whole.members[:4]) == "4 of 6 genes usable, all on one side of the contrast"
    assert whole.find_fault(whole.members[2:]) == ""


def test_a_gene_set_is_never_scored_however_complete() -> None:
    whole = signature(Scoring.NOT_SCORED, *[1.0] * 5)

    assert whole.find_fault(whole.members) == "5 of 5 genes usable; it is a set of genes without a score"


def test_lists_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Signature("s", "S", Scoring.MEAN_Z, members(1) + members(1), "", "")
    with pytest.raises(ValueError, match="no genes"):
        signature(Scoring.MEAN_Z)
    with pytest.raises(ValueError, match="weights of its own"):
        signature(Scoring.MEAN_Z, 0.5)
    with pytest.raises(ValueError, match="weights of its own"):
        signature(Scoring.GEOMETRIC_MEAN, -1)


@pytest.mark.parametrize(
    ("panel", "same"),
    [
        (Gene("CCN2", "HGNC:2500"), True),
        (Gene("CTGF", "HGNC:2500"), True),
        (Gene("anything", "HGNC:2500"), True),
        (Gene("CCN2", "HGNC:1"), False),
        (Gene("CCN2"), True),
        (Gene("CTGF"), True),
        (Gene("CCN1"), False),
    ],
)
def test_genes_are_matched_by_identifier_then_by_symbol(panel: Gene, same: bool) -> None:
    assert Member(Gene("CCN2", "HGNC:2500"), published_as="CTGF").is_same(panel) is same


def test_the_offset_is_a_hundredth_per_million() -> None:
    assert math.isclose(
        float(combine(Scoring.GEOMETRIC_MEAN, [scored()], np.zeros((1, 1)))[0]), 0.01 / 100, rel_tol=1e-6
    )
