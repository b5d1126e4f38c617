import importlib.resources
import json
import re

import numpy as np
import pytest

from tests.results import BUNDLE, CREATED, full_grid, good_quality, make_gene
from vst_dicom.domain.engine import EngineFacts
from vst_dicom.domain.expression import ExpressionTable, Gene, GeneStatus
from vst_dicom.domain.result import SlideResult
from vst_dicom.domain.signature import PanelSignature, ScoredGene, Scoring, Signature
from vst_dicom.maps.signatures import read_signatures, score_signatures
from vst_dicom.maps.summary import RunFacts, summarize

N_GENES = {
    "t-cell-inflamed": 18,
    "expanded-immune": 18,
    "interferon-gamma": 6,
    "cytolytic-activity": 2,
    "tls-12-chemokine": 12,
    "tls-9": 9,
    "pam50": 50,
    "proliferation": 5,
    "invasion": 2,
    "her2-group": 2,
    "estrogen-group": 4,
    "hypoxia": 15,
    "angiogenesis": 6,
    "cd8-effector": 8,
    "immune-checkpoint": 7,
    "antigen-presentation": 6,
    "pan-f-tbrs": 19,
    "emt-1": 8,
    "emt-2": 7,
    "emt-3": 6,
}


def named(signature_id: str) -> Signature:
    return next(one for one in read_signatures() if one.signature_id == signature_id)


def symbols(signature_id: str) -> set[str]:
    return {member.gene.symbol for member in named(signature_id).members}


def raw() -> list[dict]:
    text = (importlib.resources.files("vst_dicom.maps") / "signatures.json").read_text(encoding="utf-8")
    entries: list[dict] = json.loads(text)["signatures"]
    return entries


def test_every_list_has_the_published_number_of_genes() -> None:
    assert {one.signature_id: len(one.members) for one in read_signatures()} == N_GENES


def test_the_t_cell_inflamed_profile_is_not_the_expanded_immune_signature() -> None:
    """Some collections ship the second list, of the same length, under the name of the first."""
    inflamed, expanded = symbols("t-cell-inflamed"), symbols("expanded-immune")

    assert " ".join(sorted(inflamed)) == (
        "CCL5 CD27 CD274 CD276 CD8A CMKLR1 CXCL9 CXCR6 HLA-DQA1 HLA-DRB1 HLA-E IDO1 LAG3 NKG7 PDCD1LG2 PSMB10 STAT1 "
        "TIGIT"
    )
    assert inflamed & expanded == {"CCL5", "CXCR6", "HLA-E", "IDO1", "LAG3", "NKG7", "STAT1"}
    assert named("t-cell-inflamed").scoring is Scoring.WEIGHTED_SUM
    assert named("expanded-immune").scoring is Scoring.MEAN_Z


def test_the_weights_of_the_t_cell_inflamed_profile_are_the_published_ones() -> None:
    weights = {member.gene.symbol: member.weight for member in named("t-cell-inflamed").members}

    assert [symbol for symbol, weight in weights.items() if weight < 0] == ["CD276"]
    assert sum(weights.values()) == pytest.approx(1.142788)
    assert (weights["CD276"], weights["STAT1"], weights["CMKLR1"]) == (-0.0239, 0.250229, 0.151253)
    assert len(raw()[0]["housekeeping"]) == 11


@pytest.mark.parametrize("wrong", [{"UHRF1", "WRN", "NOB1", "TOP2A"}, {"VEGFA", "HMGB3", "LAMA2"}, {"BCL2A1", "CENPA"}])
def test_pam50_is_none_of_the_wrong_lists_in_circulation(wrong: set[str]) -> None:
    assert not symbols("pam50") & wrong
    assert {"CEP55", "KIF2C", "NDC80", "NUF2", "TYMS", "CCNE1", "KRT5", "KRT14", "KRT17"} <= symbols("pam50")


def test_pam50_gives_no_score() -> None:
    assert named("pam50").scoring is Scoring.NOT_SCORED


def test_proliferation_genes_of_pam50_are_those_of_its_annotation() -> None:
    assert {"BIRC5", "CCNB1", "CDC20", "NUF2", "CEP55", "NDC80", "MKI67", "PTTG1", "RRM2", "TYMS", "UBE2C"} <= symbols(
        "pam50"
    )


def test_old_symbols_are_replaced_and_kept_beside() -> None:
    replaced = {
        member.published_as: member.gene.symbol
        for one in read_signatures()
        for member in one.members
        if member.published_as
    }

    assert replaced == {
        "CDCA1": "NUF2",
        "KNTC2": "NDC80",
        "ORC6L": "ORC6",
        "STK15": "AURKA",
        "CTSL2": "CTSV",
        "CTGF": "CCN2",
        "FAM101B": "RFLNB",
    }
    everywhere = {member.gene.symbol for one in read_signatures() for member in one.members}
    assert not everywhere & {*replaced, "PDL1", "PD1", "CTLA-4", "TIM3", "GLUT1", "EN01"}


def test_epithelial_genes_count_negative_in_the_contrast() -> None:
    negative = {member.gene.symbol for member in named("emt-1").members if member.weight < 0}

    assert negative == {"CLDN3", "CLDN4", "CLDN7", "CDH1"}


def test_every_gene_has_one_identifier_and_every_identifier_one_gene() -> None:
    pairs = {(member.gene.symbol, member.gene.hgnc_id) for one in read_signatures() for member in one.members}

    assert all(identifier and re.fullmatch(r"HGNC:[0-9]+", identifier) for _, identifier in pairs)
    assert len({symbol for symbol, _ in pairs}) == len({identifier for _, identifier in pairs}) == len(pairs)
    assert {("ERBB2", "HGNC:3430"), ("CD8A", "HGNC:1706")} <= pairs


def test_every_list_names_its_publication_and_what_it_was_checked_against() -> None:
    for entry in raw():
        assert entry["doi"].startswith("10."), entry["id"]
        assert entry["citation"], entry["id"]
        assert entry["checked_against"], entry["id"]


def test_the_sex_confound_is_said() -> None:
    assert "Y chromosome" in named("tls-9").note


def test_no_signature_promises_what_may_not_be_said() -> None:
    for entry in raw():
        text = f"{entry['name']} {entry['note']}".lower()
        assert not re.search("recurrence score|oncotype|mutation|diagnos|malignan", text), entry["id"]


def panel_signature(status: GeneStatus) -> PanelSignature:
    genes = (ScoredGene(Gene("B"), 1.0, 1.0, 2.0), ScoredGene(Gene("A"), -1.0, 0.0, 1.0))
    return PanelSignature("s", "S", Scoring.MEAN_Z, "somebody", "", 3, genes, status, "because")


def table() -> ExpressionTable:
    genes = (make_gene("A"), make_gene("C"), make_gene("B"))
    return ExpressionTable(genes, np.array([[1, 100, 3], [0, -100, 1]], dtype=np.float32))


def test_a_shown_signature_is_scored_from_its_own_columns() -> None:
    (score,) = score_signatures([panel_signature(GeneStatus.EXPLORATORY)], table())

    assert score.values is not None
    assert score.values.tolist() == [((3 - 1) / 2 - 1) / 2, 0.0]


def test_a_hidden_signature_has_no_values() -> None:
    (score,) = score_signatures([panel_signature(GeneStatus.HIDDEN)], table())

    assert score.values is None
    assert score.signature.coverage == "2 of 3 genes usable"


def test_the_summary_says_what_is_usable_and_why_not() -> None:
    scores = score_signatures([panel_signature(GeneStatus.EXPLORATORY), panel_signature(GeneStatus.HIDDEN)], table())
    grid = full_grid(1, 2)
    result = SlideResult("k", CREATED, grid, good_quality(2), table(), (), BUNDLE, {}, (), signatures=scores)

    shown, hidden = summarize(result, [], RunFacts({}, EngineFacts("torch", "cpu", "fp32", 32), {}, {}, []))[
        "signatures"
    ]

    assert (shown["shown"], shown["coverage"], shown["genes"]) == (True, "2 of 3 genes usable", ["B", "A"])
    assert (shown["mean"], shown["p95"]) == (0.0, 0.0)
    assert shown["unit"] == "standard deviations of the training cohort"
    assert (hidden["shown"], hidden["mean"], hidden["reason"]) == (False, None, "because")
    assert json.dumps(hidden)
