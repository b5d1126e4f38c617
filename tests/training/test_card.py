import numpy as np
import pytest

from tests.predict.bundles import gene_entry, manifest
from vst_dicom.predict.manifest import BUNDLE_FILES, Manifest
from vst_dicom.predict.manifest_evidence import Distribution, GeneEntry, Uncertainty
from vst_dicom.training.card import best_baseline, remarks, warns_of_few_patients
from vst_dicom.training.card_chapter import Chapter
from vst_dicom.training.card_genes import gene_table
from vst_dicom.training.card_html import table
from vst_dicom.training.card_parts import chapters_of
from vst_dicom.training.card_plots import draw_baselines, draw_distribution
from vst_dicom.training.evaluate import Protocol
from vst_dicom.training.evidence import Row
from vst_dicom.training.yardsticks import BASELINES


def row(protocol: Protocol, r: float = 0.2, depth_adjusted_r: float = 0.15, nuclei: float = 0.1) -> Row:
    baselines = {**dict.fromkeys(BASELINES, 0.1), "nuclei": nuclei}
    return Row(protocol=protocol, held_out="patient B", trained_on="C", n_spots=9, r=r,
               depth_adjusted_r=depth_adjusted_r, rank_r=r, interval=None, r2=0.1, p=0.01, depth_adjusted_p=0.02,
               baselines=baselines, depth_adjusted_baselines=baselines,
               lead_p=dict.fromkeys(BASELINES, 0.01))  # fmt: skip


def of_patients(n_patients: int) -> Manifest:
    value = manifest(dict.fromkeys(BUNDLE_FILES, "0" * 64))
    value["training"]["cohorts"][0]["patients"] = [f"P{i}" for i in range(n_patients)]
    return Manifest.model_validate(value)


@pytest.mark.parametrize(
    ("n_patients", "said"),
    [(1, "One patient proves nothing general."), (5, "Five patients prove nothing general.")],
)
def test_few_patients_are_said_plainly(n_patients: int, said: str) -> None:
    assert said in warns_of_few_patients(of_patients(n_patients))


def test_six_patients_need_no_such_warning() -> None:
    assert warns_of_few_patients(of_patients(6)) == ""


def test_a_patient_on_whom_counting_nuclei_does_better_is_named() -> None:
    assert remarks(row(Protocol.PATIENT, nuclei=0.25)) == [
        "**On patient B counting nuclei does better than this: 0.250 to 0.200.**"
    ]


def test_agreement_that_is_mostly_depth_is_named() -> None:
    (said,) = remarks(row(Protocol.PATIENT, depth_adjusted_r=0.05))

    assert said.startswith("On patient B 0.050 of 0.200 is left")


def test_sections_of_a_patient_need_no_remark() -> None:
    assert remarks(row(Protocol.SECTION, nuclei=0.9, depth_adjusted_r=0)) == []


def test_an_older_bundle_has_the_nuclei_count_as_its_only_baseline() -> None:
    assert best_baseline(GeneEntry.model_validate(gene_entry("ERBB2"))) == "nuclei 0.10"


def test_the_best_baseline_is_the_closest_one() -> None:
    entry = GeneEntry.model_validate({**gene_entry("ERBB2"), "baselines": {"nuclei": 0.1, "total_counts": 0.3}})

    assert best_baseline(entry) == "total counts 0.30"


def test_genes_sort_by_each_order_with_what_is_missing_last() -> None:
    genes = [
        GeneEntry.model_validate({**gene_entry(symbol), "held_out_r": r, "slope": slope})
        for symbol, r, slope in (("B", 0.3, 1.5), ("A", 0.1, None), ("C", 0.2, 0.9))
    ]

    page = gene_table(genes)

    assert "--by-r:0;--by-adjusted:0;--by-other:0;--by-slope:1;--by-symbol:1;" in page
    assert "--by-r:2;--by-adjusted:1;--by-other:1;--by-slope:2;--by-symbol:0;" in page
    assert "--by-r:1;--by-adjusted:2;--by-other:2;--by-slope:0;--by-symbol:2;" in page


def test_what_a_cohort_says_cannot_become_markup() -> None:
    page = table(("held out",), [("<script>alert(1)</script>",)], [False], n_text=1)

    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_chapter_is_a_heading_with_sentences_and_a_table() -> None:
    chapter = Chapter("Coverage", ("Ninety percent.",), ("patient", "covered"), (("B", "0.91"),))

    assert (
        chapter.as_markdown() == "## Coverage\n\nNinety percent.\n\n| patient | covered |\n| --- | --- |\n| B | 0.91 |"
    )


def test_pictures_are_the_same_every_time() -> None:
    rows = [row(Protocol.PATIENT)]

    assert draw_baselines(rows) == draw_baselines(rows)
    assert "nuclei, fitted" in draw_baselines(rows)


def test_a_distribution_of_one_gene_can_be_drawn() -> None:
    from tests.training.figures import Made, score
    from vst_dicom.training.gate import judge

    verdicts = judge([score(Protocol.PATIENT, "A", "A", Made(np.float64(0.4).item()))], ("A",), 0)

    assert draw_distribution(verdicts).startswith("<?xml")


def test_intervals_and_unfamiliar_tissue_have_their_chapters() -> None:
    found = of_patients(6).model_copy(
        update={
            "uncertainty": Uncertainty(coverage=0.9, quantile=1.7, unit="patient", n_units=6, most_promised=6 / 7,
                                       held_out_coverage=0.913, by_unit={"P0": 0.88, "P1": 0.946}),
            "distribution": Distribution(n_tiles=500, n_components=32, percentile=99, unit="patient", n_units=6,
                                         held_out_unfamiliar={"P0": 0.012}, refuse_share=0.2),
        }
    )  # fmt: skip

    intervals, unfamiliar = chapters_of(found)

    assert "measured on patients left out of that too: 91.3% on average" in intervals.paragraphs[0]
    assert "6 patients cannot promise a new one more than 86%" in intervals.paragraphs[2]
    assert intervals.rows[1] == ("P1", "94.6%")
    assert intervals.picture.startswith("<?xml")
    assert unfamiliar.rows == (("P0", "1.2%"),)
    assert "more than 20% of its tissue masked is refused" in unfamiliar.paragraphs[0]


def test_a_bundle_without_them_has_no_such_chapter() -> None:
    assert chapters_of(of_patients(6)) == []
