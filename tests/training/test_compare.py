import numpy as np
import pytest

from tests.predict.bundles import gene_entry, manifest
from tests.training.spots import section
from vst_dicom.domain.errors import InputError
from vst_dicom.predict.manifest import BUNDLE_FILES, Manifest
from vst_dicom.training.cohort import Cohort, Section
from vst_dicom.training.compare import common_symbols, compare, unseen_sections
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.scores import depth_adjusted_pearson, pearson

SYMBOLS = ("x", "y", "z")


def bundle(name: str, patients: list[str], *symbols: str) -> Manifest:
    value = manifest(dict.fromkeys(BUNDLE_FILES, "0" * 64))
    value["id"] = name
    value["training"]["cohorts"][0] |= {"doi": "10.0/here", "patients": patients}
    value["genes"] = [gene_entry(symbol) for symbol in symbols]
    return Manifest.model_validate(value)


def cohort(*patients: str, doi: str = "10.0/here") -> Cohort:
    return Cohort(
        name="a", doi=doi, license="none", source="none", organ="breast", specimen="FFPE", library="ST", spot_um=100,
        section=tuple(Section(id=f"{p}{n}", patient=p, image="i", counts="c", spots="s") for p in patients
                      for n in (1, 2)),
    )  # fmt: skip


def good_and_bad(sections: list[SectionSpots]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    random = np.random.default_rng(0)
    good = [part.expression + random.standard_normal(part.expression.shape).astype(np.float32) for part in sections]
    return good, [random.standard_normal(part.expression.shape).astype(np.float32) for part in sections]


def test_only_genes_that_both_predict_are_compared() -> None:
    assert common_symbols(bundle("a", [], "A", "B", "C"), bundle("b", [], "C", "A", "D")) == ("A", "C")


def test_bundles_without_a_common_gene_are_refused() -> None:
    with pytest.raises(InputError, match="a and b have no gene in common"):
        common_symbols(bundle("a", [], "A"), bundle("b", [], "B"))


def test_only_patients_that_trained_neither_are_compared_on() -> None:
    bundles = [bundle("a", ["P"], "A"), bundle("b", ["Q"], "A")]

    assert unseen_sections(cohort("P", "Q", "R"), bundles) == ("R1", "R2")
    assert unseen_sections(cohort("P", doi="10.0/elsewhere"), bundles) == ("P1", "P2")


def test_a_cohort_in_which_nothing_is_held_out_from_both_is_refused() -> None:
    with pytest.raises(InputError, match="nothing in this cohort is held out from a and b"):
        unseen_sections(cohort("P", "Q"), [bundle("a", ["P"], "A"), bundle("b", ["Q"], "A")])


@pytest.mark.parametrize(
    ("names", "unit", "n_units"),
    [(["A1", "A2"], "block", None), ([f"A{i}" for i in range(6)], "section", 6), (list("ABCDEF"), "patient", 6)],
)
def test_units_are_patients_sections_or_blocks_as_far_as_there_are_enough(
    names: list[str], unit: str, n_units: int | None
) -> None:
    sections = [section(name, name[0], seed) for seed, name in enumerate(names)]
    good, bad = good_and_bad(sections)

    found = compare(SYMBOLS, sections, good, bad)

    assert found.unit == unit
    assert n_units in (None, found.n_units)
    r = np.mean([pearson(values, part.expression) for values, part in zip(good, sections, strict=True)], axis=0)
    adjusted = np.mean(
        [depth_adjusted_pearson(v, part.expression, part.total_counts) for v, part in zip(bad, sections, strict=True)],
        axis=0,
    )
    assert [gene.first for gene in found.genes] == pytest.approx(r)
    assert [gene.second for gene in found.depth_adjusted_genes] == pytest.approx(adjusted)
    assert found.r.first == pytest.approx(r.mean())
    assert found.r.low < found.r.difference < found.r.high < 0


def test_a_bundle_compared_with_itself_differs_by_nothing() -> None:
    sections = [section("A1", "A", 0)]
    good, _ = good_and_bad(sections)

    found = compare(SYMBOLS, sections, good, good)

    assert (found.r.difference, found.r.low, found.r.high) == (0, 0, 0)


def test_a_patient_with_many_sections_weighs_as_much_as_one_with_one() -> None:
    sections = [section(f"{name}", name[0], seed) for seed, name in enumerate(["A1", "A2", "A3", *"BCDEF"])]
    first = [part.expression if part.patient == "A" else -part.expression for part in sections]

    found = compare(SYMBOLS, sections, first, first)

    assert found.n_units == 6
    assert found.r.first == pytest.approx((1 - 5) / 6)
