import pytest

from tests.training.figures import Made, score
from vst_dicom.training.evaluate import Fold, FoldScore, Protocol
from vst_dicom.training.fit import Choice
from vst_dicom.training.gate import GeneEvidence, judge, patient_figures
from vst_dicom.training.yardsticks import NUCLEI, NUCLEI_FITTED, POSITION, STAIN, TISSUE_CLASS, TOTAL_COUNTS


def two_patients(sections: list[Made], other_patient_r: float = 0.2) -> list[FoldScore]:
    return [
        *(score(Protocol.SECTION, f"C{i}", "C", made) for i, made in enumerate(sections)),
        score(Protocol.PATIENT, "B", "B", Made(other_patient_r)),
        score(Protocol.PATIENT, "C", "C", Made(-0.9)),
    ]


def of_patients(*made: Made) -> GeneEvidence:
    scores = [score(Protocol.PATIENT, f"P{i}", f"P{i}", one) for i, one in enumerate(made)]
    return judge(scores, tuple(f"P{i}" for i in range(len(made))), seed=0)[0]


@pytest.mark.parametrize(
    ("made", "other_patient_r", "status", "said"),
    [
        ([Made(0.3)] * 2, 0.2, "exploratory", "held-out r 0.30 over 2 sections"),
        ([Made(0.29)] * 2, 0.2, "hidden", "held-out r 0.29 is below 0.30"),
        ([Made(0.9), Made(-0.01)], 0.2, "hidden", "on one section r is -0.01, not above 0"),
        ([Made(depth_adjusted_r=0.14)] * 2, 0.2, "hidden", "partialled out r is 0.14, below 0.15"),
        ([Made(baselines={NUCLEI: 0.46})] * 2, 0.2, "hidden", "counting nuclei alone gives 0.46"),
        ([Made(baselines={NUCLEI_FITTED: 0.46})] * 2, 0.2, "hidden", "counting nuclei alone gives 0.46"),
        ([Made(baselines={STAIN: 0.46})] * 2, 0.2, "hidden", "the strength of the stains alone gives 0.46"),
        (
            [Made(baselines={TISSUE_CLASS: 0.46})] * 2,
            0.2,
            "hidden",
            "a proxy of its tissue class, whose mean alone gives 0.46",
        ),
        ([Made(baselines={POSITION: 0.46})] * 2, 0.2, "hidden", "the position in the section alone gives 0.46"),
        ([Made(baselines={TOTAL_COUNTS: 0.46})] * 2, 0.2, "hidden", "sequencing depth alone gives 0.46"),
        ([Made(null_r=(0.6,) * 99)] * 2, 0.2, "hidden", "false discovery rate 1.00, above 0.05"),
        ([Made()] * 2, 0.0, "hidden", "on tissue of another patient r is 0.00, not above 0"),
        ([Made(slope=0.5)] * 2, 0.2, "exploratory", "Read it as ranks: the calibration slope is 0.50."),
    ],
)
def test_each_condition_hides_a_gene_and_is_named(
    made: list[Made], other_patient_r: float, status: str, said: str
) -> None:
    verdict = judge(two_patients(made, other_patient_r), ("C",), seed=0)[0]

    assert verdict.status == status
    assert said in verdict.reason


def test_both_ways_of_counting_nuclei_are_one_reason() -> None:
    reason = judge(two_patients([Made(baselines={NUCLEI: 0.47, NUCLEI_FITTED: 0.46})] * 2), ("C",), 0)[0].reason

    assert reason == "Hidden: counting nuclei alone gives 0.47."


def test_with_two_patients_nothing_is_supported_however_good() -> None:
    assert judge(two_patients([Made(0.99)] * 2, 0.99), ("C",), 0)[0].status == "exploratory"


def test_patients_that_did_not_train_are_the_other_patients() -> None:
    assert judge(two_patients([Made()] * 2, 0.25), ("C",), 0)[0].other_patient_r == 0.25


def test_six_patients_can_support_a_gene_with_an_interval() -> None:
    verdict = of_patients(*(Made(r) for r in [0.3, 0.4, 0.5] * 2))

    assert verdict.status == "supported"
    assert (verdict.unit, verdict.n_units, verdict.r, verdict.positive) == ("patient", 6, 0.4, 1)
    assert verdict.interval is not None
    assert 0.3 <= verdict.interval[0] < 0.4 < verdict.interval[1] <= 0.5


def test_figures_are_medians_over_patients() -> None:
    verdict = of_patients(*(Made(r, slope=r, moran_predicted=r) for r in [0.31, 0.35, 0.4, 0.5, 0.6, 0.9]))

    assert (verdict.r, verdict.slope) == pytest.approx((0.45, 0.45))
    assert verdict.moran_ratio == pytest.approx(0.45 / 0.3)
    assert verdict.ranks_only


def test_a_gene_without_spatial_structure_has_no_moran_ratio() -> None:
    assert of_patients(*[Made(moran_measured=0.04)] * 6).moran_ratio is None


def test_an_interval_that_touches_zero_hides_a_gene() -> None:
    verdict = of_patients(*(Made(r) for r in [0.95, 0.95, 0.95, -0.5, 0.1, -0.4]))

    assert "interval over patients starts at" in verdict.reason
    assert "r is positive in 67% of patients, fewer than 70%" in verdict.reason


def test_where_sites_were_left_out_they_make_the_figures_of_their_patients() -> None:
    fold = Fold(Protocol.SITE, "here", "A, B", ("z",), ("a1", "b1", "b2"), ("A", "B", "B"))
    by_site = FoldScore(
        fold, Choice(1.0, 5), 9, {"a1": Made(0.1).figures(), "b1": Made(0.2).figures(), "b2": Made(0.4).figures()}
    )
    scores = [score(Protocol.PATIENT, "A", "A", Made(0.9)), score(Protocol.PATIENT, "B", "B", Made(0.9)), by_site]

    found = {patient: float(figures.r[0]) for patient, figures in patient_figures(scores).items()}

    assert found == pytest.approx({"A": 0.1, "B": 0.3})
