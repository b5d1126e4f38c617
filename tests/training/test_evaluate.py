from dataclasses import replace

import numpy as np
import pytest

from tests.training.spots import section
from vst_dicom.domain.errors import InputError
from vst_dicom.domain.tissue import LYMPHOCYTE_RICH, STROMA
from vst_dicom.training import evaluate as evaluate_module
from vst_dicom.training.evaluate import FoldScore, Protocol, evaluate, make_folds
from vst_dicom.training.evidence import as_json, summarize
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit import Recipe
from vst_dicom.training.gate import judge
from vst_dicom.training.scores import pearson
from vst_dicom.training.tissue import MARKERS, MARKERS_OF
from vst_dicom.training.yardsticks import NUCLEI, NUCLEI_FITTED, POSITION, TISSUE_CLASS, TOTAL_COUNTS

RECIPE = Recipe(n_components=12, alphas=(0.001, 1.0), ranks=(3,))


@pytest.fixture(scope="module")
def cohort() -> list[SectionSpots]:
    return [section("B1", "B", 9), section("C1", "C", 0), section("C2", "C", 1), section("C3", "C", 2)]


@pytest.fixture(scope="module")
def scores(cohort: list[SectionSpots]) -> list[FoldScore]:
    return evaluate(cohort, RECIPE, n_draws=39)


def test_folds_keep_sections_and_patients_apart(cohort: list[SectionSpots]) -> None:
    folds = {(fold.protocol, fold.unit): (fold.train, fold.test) for fold in make_folds(cohort)}

    assert folds == {
        (Protocol.SECTION, "C1"): (("C2", "C3"), ("C1",)),
        (Protocol.SECTION_ALL_PATIENTS, "C1"): (("C2", "C3", "B1"), ("C1",)),
        (Protocol.SECTION, "C2"): (("C1", "C3"), ("C2",)),
        (Protocol.SECTION_ALL_PATIENTS, "C2"): (("C1", "C3", "B1"), ("C2",)),
        (Protocol.SECTION, "C3"): (("C1", "C2"), ("C3",)),
        (Protocol.SECTION_ALL_PATIENTS, "C3"): (("C1", "C2", "B1"), ("C3",)),
        (Protocol.PATIENT, "B"): (("C1", "C2", "C3"), ("B1",)),
        (Protocol.PATIENT, "C"): (("B1",), ("C1", "C2", "C3")),
    }


def test_no_fold_ever_tests_what_it_trained_on(cohort: list[SectionSpots], monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[set[str]] = []
    real = evaluate_module.fit_head

    def spy(train: list[SectionSpots], recipe: Recipe, seed: int) -> object:
        fitted.append({part.section_id for part in train})
        return real(train, recipe, seed)

    monkeypatch.setattr(evaluate_module, "fit_head", spy)
    spied = evaluate(cohort, RECIPE, n_draws=0)

    assert all(not trained & set(score.fold.test) for trained, score in zip(fitted, spied, strict=True))


def test_a_cohort_that_allows_no_fold_is_refused() -> None:
    with pytest.raises(InputError, match="two sections of a patient, or two patients"):
        evaluate([section("A", "P", 0)], RECIPE)


def test_the_table_gives_the_mean_before_its_sections(scores: list[FoldScore]) -> None:
    rows = summarize(scores)

    assert [row.held_out for row in rows] == [
        "each of C1, C2, C3 (mean)",
        "C1",
        "C2",
        "C3",
        "each of C1, C2, C3 (mean)",
        "patient C (C1, C2, C3)",
        "patient B (B1)",
    ]
    assert rows[0].r == pytest.approx(np.mean([row.r for row in rows[1:4]]))
    assert rows[0].n_spots == 180


def test_baselines_know_what_they_say(cohort: list[SectionSpots]) -> None:
    told = []
    for part in cohort:
        expression = np.column_stack([part.plain[:, 0], -part.plain[:, 0], np.log(part.total_counts)])
        told.append(replace(part, expression=expression.astype(np.float32)))

    baselines = evaluate(told, RECIPE, n_draws=0)[0].figures.baselines

    assert baselines[NUCLEI][:2] == pytest.approx([1, -1], abs=1e-6)
    assert baselines[NUCLEI_FITTED][:2] == pytest.approx([1, 1], abs=1e-6)
    assert baselines[TOTAL_COUNTS][2] == pytest.approx(1, abs=1e-6)


def test_position_predicts_what_follows_the_section_from_edge_to_edge(cohort: list[SectionSpots]) -> None:
    x = [part.centers_px[:, 0] for part in cohort]
    middle = [(values.min() + values.max()) / 2 for values in x]
    told = [
        replace(part, expression=np.square(values - center)[:, None].astype(np.float32))
        for part, values, center in zip(cohort, x, middle, strict=True)
    ]

    assert evaluate(told, RECIPE, n_draws=0)[0].figures.baselines[POSITION][0] == pytest.approx(1, abs=1e-4)


def test_nothing_is_left_of_the_depth_baseline_when_depth_is_partialled_out(scores: list[FoldScore]) -> None:
    assert scores[0].figures.depth_adjusted_baselines[TOTAL_COUNTS] == pytest.approx([0, 0, 0], abs=1e-6)


def test_the_gains_over_a_baseline_sum_to_the_lead_in_depth_adjusted_r(scores: list[FoldScore]) -> None:
    figures = next(s for s in scores if s.fold.unit == "C" and s.fold.protocol is Protocol.PATIENT).figures

    lead = figures.depth_adjusted_r.mean() - figures.depth_adjusted_baselines[NUCLEI].mean()
    assert figures.gains[NUCLEI].sum() == pytest.approx(lead)


def test_a_panel_that_follows_the_tissue_beats_maps_laid_over_at_random(scores: list[FoldScore]) -> None:
    row = summarize(scores)[0]

    assert (row.p, row.depth_adjusted_p) == (1 / 40, 1 / 40)
    assert row.lead_p[NUCLEI] < 0.05


def test_sites_are_left_out_with_all_their_patients() -> None:
    sections = [
        replace(section(name, name[0], seed), site=site)
        for seed, (name, site) in enumerate([("A1", "x"), ("A2", "y"), ("B1", "x"), ("C1", "y"), ("D1", "y")])
    ]
    folds = {fold.unit: (fold.train, fold.test, fold.patients) for fold in make_folds(sections)
             if fold.protocol is Protocol.SITE}  # fmt: skip

    assert folds == {
        "x": (("C1", "D1"), ("A1", "B1"), ("A", "B")),
        "y": (("B1",), ("A2", "C1", "D1"), ("A", "C", "D")),
    }


def test_sites_with_one_patient_each_add_nothing_to_patients() -> None:
    sections = [replace(section(name, name, 0), site=name) for name in "ABC"]

    assert all(fold.protocol is not Protocol.SITE for fold in make_folds(sections))


def test_genes_that_follow_the_tissue_are_exploratory_and_noise_is_hidden(scores: list[FoldScore]) -> None:
    verdicts = judge(scores, ("C",), seed=0)

    assert [verdict.status for verdict in verdicts] == ["exploratory", "exploratory", "hidden"]
    assert (verdicts[0].unit, verdicts[0].n_units, verdicts[0].interval) == ("section", 3, None)
    assert "cannot support a gene" in verdicts[0].reason
    assert "below 0.30" in verdicts[2].reason


def test_evidence_names_every_gene_and_fold(scores: list[FoldScore]) -> None:
    facts = as_json(["x", "y", "z"], scores, judge(scores, ("C",), 0), summarize(scores))

    assert [gene["symbol"] for gene in facts["genes"]] == ["x", "y", "z"]
    assert len(facts["folds"]) == 8
    assert all(len(fold["r"]) == 3 for fold in facts["folds"])


def test_held_out_predictions_are_kept_by_section(cohort: list[SectionSpots], scores: list[FoldScore]) -> None:
    by_patient = next(s for s in scores if s.fold.unit == "C" and s.fold.protocol is Protocol.PATIENT)

    assert sorted(by_patient.predicted) == sorted(by_patient.spread) == ["C1", "C2", "C3"]
    assert by_patient.predicted["C1"].shape == by_patient.spread["C1"].shape == (60, 3)
    assert by_patient.predicted["C1"].dtype == np.float32
    again = [pearson(by_patient.predicted[part.section_id], part.expression) for part in cohort[1:]]
    np.testing.assert_allclose(by_patient.figures.r, np.mean(again, axis=0))


def test_a_gene_that_follows_the_tissue_class_is_predicted_by_the_mean_of_its_class(
    cohort: list[SectionSpots],
) -> None:
    told = []
    for part in cohort:
        is_stroma = part.features[:, 0] > 0
        markers = np.random.default_rng(1).uniform(0, 0.2, (len(is_stroma), len(MARKERS)))
        for tissue_class, here in ((STROMA, is_stroma), (LYMPHOCYTE_RICH, ~is_stroma)):
            wanted = [MARKERS.index(symbol) for symbol in MARKERS_OF[tissue_class]]
            markers[:, wanted] += 2.0 * here[:, None]
        told.append(replace(part, markers=markers.astype(np.float32),
                            expression=is_stroma[:, None].astype(np.float32)))  # fmt: skip

    figures = evaluate(told, RECIPE, n_draws=0)[0].figures

    assert figures.baselines[TISSUE_CLASS][0] > 0.7


def test_without_marker_genes_the_class_baseline_says_nothing(scores: list[FoldScore]) -> None:
    assert scores[0].figures.baselines[TISSUE_CLASS].tolist() == [0, 0, 0]
