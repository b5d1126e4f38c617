from types import SimpleNamespace

from vst_dicom.predict.manifest import Distribution, Uncertainty
from vst_dicom.training.trust_chapter import trust_chapters

UNCERTAINTY = Uncertainty(
    coverage=0.9, quantile=1.5, unit="patient", n_units=2, most_promised=0.6667, held_out_coverage=0.83,
    by_unit={"B": 0.7, "C": 0.96},
)  # fmt: skip
DISTRIBUTION = Distribution(
    n_tiles=1464, n_components=32, percentile=99, unit="patient", n_units=2, held_out_unfamiliar={"B": 0.005, "C": 0},
    refuse_share=0.2,
)  # fmt: skip


def test_a_bundle_without_the_parts_has_no_chapter() -> None:
    assert trust_chapters(SimpleNamespace(uncertainty=None, distribution=None)) == []  # type: ignore[arg-type]


def test_each_part_states_its_figures() -> None:
    manifest = SimpleNamespace(uncertainty=UNCERTAINTY, distribution=DISTRIBUTION)

    intervals, familiarity = (chapter.as_markdown() for chapter in trust_chapters(manifest))  # type: ignore[arg-type]

    assert "2 patients can promise a new one 67% at most" in intervals
    assert "they held 83% (70% to 96%)" in intervals
    assert "| B | 70% |" in intervals
    assert "1,464 training tiles" in familiarity
    assert "| B | 0.5% |" in familiarity
