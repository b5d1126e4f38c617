from dataclasses import replace

import numpy as np
import pytest

from tests.predict.bundles import gene_entry
from tests.training.spots import section
from vst_dicom.domain.expression import Gene
from vst_dicom.domain.signature import Member, Scoring, Signature
from vst_dicom.predict.manifest_evidence import GeneEntry, SignatureEntry
from vst_dicom.training.evaluate import FoldScore, Protocol, evaluate
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit import Recipe
from vst_dicom.training.signatures import find_members, judge_signatures

RECIPE = Recipe(n_components=12, alphas=(0.001, 1.0), ranks=(3,))


def signature(*symbols: str, scoring: Scoring = Scoring.MEAN_Z, weights: tuple[float, ...] = ()) -> Signature:
    members = [Member(Gene(s), w) for s, w in zip(symbols, weights or (1.0,) * len(symbols), strict=True)]
    return Signature("s", "S", scoring, tuple(members), "somebody", "10.1/1", "a note")


def panel(**statuses: str) -> list[GeneEntry]:
    return [GeneEntry.model_validate(gene_entry(symbol, status)) for symbol, status in statuses.items()]


SHOWN = panel(A="exploratory", B="exploratory", C="exploratory")


@pytest.fixture(scope="module")
def cohort() -> list[SectionSpots]:
    return [section("B1", "B", 9), section("C1", "C", 0), section("C2", "C", 1), section("C3", "C", 2)]


@pytest.fixture(scope="module")
def scores(cohort: list[SectionSpots]) -> list[FoldScore]:
    return evaluate(cohort, RECIPE, n_draws=39)


def judged(
    one: Signature, genes: list[GeneEntry], scores: list[FoldScore], cohort: list[SectionSpots]
) -> SignatureEntry:
    (entry,) = judge_signatures([one], genes, scores, cohort, ("C",), seed=0)
    return entry


def test_a_score_that_follows_the_tissue_is_exploratory(scores: list[FoldScore], cohort: list[SectionSpots]) -> None:
    entry = judged(signature("A", "B"), SHOWN, scores, cohort)

    assert entry.status == "exploratory"
    assert entry.reason.startswith("2 of 2 genes usable. Exploratory: held-out r 0.9")
    assert (entry.held_out_unit, entry.n_held_out, entry.held_out_interval) == ("section", 3, None)
    assert [(gene.symbol, gene.weight) for gene in entry.genes] == [("A", 1.0), ("B", 1.0)]
    assert (entry.n_genes, entry.note, entry.citation) == (2, "a note", "somebody")


def test_a_score_of_noise_is_hidden_by_the_rule_of_the_genes(
    scores: list[FoldScore], cohort: list[SectionSpots]
) -> None:
    entry = judged(signature("C", "A", scoring=Scoring.WEIGHTED_SUM, weights=(1.0, 1e-6)), SHOWN, scores, cohort)

    assert entry.status == "hidden"
    assert entry.reason.startswith("2 of 2 genes usable. Hidden: held-out r ")
    assert entry.held_out_r is not None


def test_the_held_out_r_is_that_of_the_score(scores: list[FoldScore], cohort: list[SectionSpots]) -> None:
    by_id = {spots.section_id: spots for spots in cohort}
    expected = []
    for score in scores:
        if score.fold.protocol is Protocol.SECTION:
            (name,) = score.fold.test
            sd = np.concatenate([by_id[other].expression for other in score.fold.train]).std(axis=0)
            contrast = np.array([1 / sd[0], -1 / sd[1]])
            pair = (score.predicted[name][:, :2] @ contrast, by_id[name].expression[:, :2] @ contrast)
            expected.append(np.corrcoef(*pair)[0, 1])

    entry = judged(signature("A", "B", weights=(1.0, -1.0)), SHOWN, scores, cohort)

    assert entry.held_out_r == pytest.approx(float(np.median(expected)), abs=1e-3)


def test_hidden_genes_are_not_used(scores: list[FoldScore], cohort: list[SectionSpots]) -> None:
    genes = panel(A="exploratory", B="hidden", C="exploratory")

    entry = judged(signature("A", "B", "X", "Y"), genes, scores, cohort)

    assert [gene.symbol for gene in entry.genes] == ["A"]
    assert entry.status == "hidden"
    assert entry.reason == "Hidden: 1 of 4 genes usable, fewer than half; 1 more is in the panel but hidden."
    assert (entry.held_out_r, entry.held_out_unit, entry.n_held_out) == (None, None, 0)


def test_a_hidden_gene_cannot_move_a_score(scores: list[FoldScore], cohort: list[SectionSpots]) -> None:
    genes = panel(A="exploratory", B="exploratory", C="hidden")
    noise = np.random.default_rng(0)
    moved = [
        replace(s, predicted={name: v + [0, 0, 9] * noise.random(v.shape) for name, v in s.predicted.items()})
        for s in scores
    ]

    assert judged(signature("A", "B"), genes, moved, cohort) == judged(signature("A", "B"), genes, scores, cohort)


def test_a_gene_that_does_not_vary_is_not_usable(scores: list[FoldScore], cohort: list[SectionSpots]) -> None:
    flat = SHOWN[0].model_copy(update={"sd": 0.0})

    assert [gene.symbol for gene in judged(signature("A", "B"), [flat, *SHOWN[1:]], scores, cohort).genes] == ["B"]


def test_old_symbols_of_the_panel_are_found_by_identifier() -> None:
    entry = SHOWN[0].model_copy(update={"symbol": "CTGF", "hgnc": "HGNC:2500"})
    one = Signature("s", "S", Scoring.MEAN_Z, (Member(Gene("CCN2", "HGNC:2500")),), "", "")

    assert find_members(one, [SHOWN[1], entry]) == [(one.members[0], 1)]


def test_one_entry_per_signature_in_their_order(scores: list[FoldScore], cohort: list[SectionSpots]) -> None:
    whole, none = signature("A", "B"), replace(signature("X", "Y", "Z"), signature_id="none")

    entries = judge_signatures([none, whole, none], SHOWN, scores, cohort, ("C",), seed=0)

    assert [(entry.id, entry.status) for entry in entries] == [
        ("none", "hidden"), ("s", "exploratory"), ("none", "hidden"),
    ]  # fmt: skip
