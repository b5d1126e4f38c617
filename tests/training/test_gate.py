from dataclasses import dataclass, field

import numpy as np
import pytest

from vst_dicom.training.evaluate import NUCLEI, NUCLEI_FITTED, Fold, FoldScore, Protocol
from vst_dicom.training.fit import Choice
from vst_dicom.training.gate import judge


@dataclass
class Figures:
    """Of one gene."""

    r: list[float]
    depth_adjusted_r: float = 0.3
    nuclei_r: float = 0.1
    nuclei_fitted_r: float = 0.1
    other_patient_r: float = 0.2
    extra: dict[str, float] = field(default_factory=dict)


def score(protocol: Protocol, unit: str, patient: str, r: float, figures: Figures) -> FoldScore:
    one = np.array([1.0])
    return FoldScore(
        Fold(protocol, unit, patient, ("x",), (unit,)),
        Choice(1.0, 5),
        100,
        one * r,
        one * figures.depth_adjusted_r,
        one * r,
        one * 0,
        {NUCLEI: one * figures.nuclei_r, NUCLEI_FITTED: one * figures.nuclei_fitted_r},
    )


def two_patients(figures: Figures) -> list[FoldScore]:
    sections = [score(Protocol.SECTION, f"C{i}", "C", r, figures) for i, r in enumerate(figures.r)]
    return [
        *sections,
        score(Protocol.PATIENT, "B", "B", figures.other_patient_r, figures),
        score(Protocol.PATIENT, "C", "C", -0.9, figures),
    ]


@pytest.mark.parametrize(
    ("figures", "status", "said"),
    [
        (Figures([0.3, 0.3]), "exploratory", "held-out r 0.30 over 2 sections"),
        (Figures([0.29, 0.29]), "hidden", "held-out r 0.29 is below 0.30"),
        (Figures([0.9, -0.01]), "hidden", "on one section r is -0.01, not above 0"),
        (Figures([0.5, 0.5], depth_adjusted_r=0.14), "hidden", "partialled out r is 0.14, below 0.15"),
        (Figures([0.5, 0.5], nuclei_r=0.46), "hidden", "counting nuclei alone gives 0.46"),
        (Figures([0.5, 0.5], nuclei_fitted_r=0.46), "hidden", "counting nuclei alone gives 0.46"),
        (Figures([0.5, 0.5], other_patient_r=0.0), "hidden", "on tissue of another patient r is 0.00, not above 0"),
    ],
)
def test_each_condition_hides_a_gene_and_is_named(figures: Figures, status: str, said: str) -> None:
    verdict = judge(two_patients(figures), ("C",), seed=0)[0]

    assert verdict.status == status
    assert said in verdict.reason


def test_with_two_patients_nothing_is_supported_however_good() -> None:
    assert judge(two_patients(Figures([0.99, 0.99], other_patient_r=0.99)), ("C",), 0)[0].status == "exploratory"


def test_patients_that_did_not_train_are_the_other_patients() -> None:
    assert judge(two_patients(Figures([0.5, 0.5], other_patient_r=0.25)), ("C",), 0)[0].other_patient_r == 0.25


def test_six_patients_can_support_a_gene_with_an_interval() -> None:
    figures = Figures([])
    scores = [score(Protocol.PATIENT, p, p, r, figures) for p, r in zip("ABCDEF", [0.3, 0.4, 0.5] * 2, strict=True)]

    verdict = judge(scores, tuple("ABCDEF"), seed=0)[0]

    assert verdict.status == "supported"
    assert (verdict.unit, verdict.n_units) == ("patient", 6)
    assert verdict.interval is not None
    assert 0.3 <= verdict.interval[0] < 0.4 < verdict.interval[1] <= 0.5


def test_an_interval_that_touches_zero_hides_a_gene() -> None:
    figures = Figures([])
    values = [0.95, 0.95, 0.95, -0.5, 0.1, -0.4]
    scores = [score(Protocol.PATIENT, p, p, r, figures) for p, r in zip("ABCDEF", values, strict=True)]

    assert "interval over patients starts at" in judge(scores, tuple("ABCDEF"), seed=0)[0].reason
