"""What the whole way from painted slides to verdicts finds out about genes whose truth is known.

Eight patients of three sites, each with a stain, a scanner and a yield of transcripts of its own; real features; every
figure is of tissue that was kept apart.
"""

import numpy as np
import pytest

from tests.training.conftest import JudgedCohort
from vst_dicom.domain.expression import GeneStatus
from vst_dicom.training.conformal import calibrate_folds
from vst_dicom.training.evaluate import Protocol
from vst_dicom.training.gate import GeneEvidence, judge

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def verdicts(simulated_cohort: JudgedCohort) -> list[GeneEvidence]:
    return judge(simulated_cohort.scores, simulated_cohort.cohort.fitted_patients, seed=0)


def held_out(cohort: JudgedCohort, name: str, protocol: Protocol = Protocol.PATIENT) -> np.ndarray:
    """A figure of each patient when it was left out, shape ``(n_patients, n_genes)``."""
    figures = {
        section: figures
        for score in cohort.scores
        if score.fold.protocol is protocol
        for section, figures in score.sections.items()
    }
    return np.array([getattr(figures[section.section_id], name) for section in cohort.sections])


def test_every_patient_and_every_site_is_left_out(simulated_cohort: JudgedCohort) -> None:
    units = [(score.fold.protocol.value, score.fold.unit) for score in simulated_cohort.scores]

    assert units == [("patient", f"P{n}") for n in range(1, 9)] + [("site", s) for s in ("north", "south", "west")]


@pytest.mark.parametrize("protocol", [Protocol.PATIENT, Protocol.SITE])
def test_programmed_genes_are_recovered_to_over_80_percent_of_the_ceiling(
    simulated_cohort: JudgedCohort, protocol: Protocol
) -> None:
    programmed = simulated_cohort.of_kind("program")

    r = held_out(simulated_cohort, "r", protocol)[:, programmed].mean(axis=0)
    ratio = r / simulated_cohort.ceilings[:, programmed].mean(axis=0)

    assert len(ratio) == 37
    assert ratio.mean() > 0.85
    assert ratio.min() > 0.8


def test_programmed_genes_are_shown_unless_they_only_name_their_tissue_class(
    simulated_cohort: JudgedCohort, verdicts: list[GeneEvidence]
) -> None:
    """Tissue is fat or it is not, so a gene of fat says no more than the class; nothing else hides a program."""
    programmed = np.flatnonzero(simulated_cohort.of_kind("program"))
    hidden = {simulated_cohort.symbols[g]: verdicts[g] for g in programmed if verdicts[g].status is GeneStatus.HIDDEN}

    assert {"ADIPOQ", "FABP4"} <= hidden.keys()
    assert len(hidden) <= len(programmed) / 4
    for verdict in hidden.values():
        assert verdict.reason.startswith("Hidden: it is a proxy of its tissue class")
        assert ";" not in verdict.reason


def test_at_most_5_percent_of_the_genes_that_the_picture_cannot_tell_are_shown(
    simulated_cohort: JudgedCohort, verdicts: list[GeneEvidence]
) -> None:
    untold = np.flatnonzero(simulated_cohort.of_kind("smooth", "speckled", "flat"))
    shown = [simulated_cohort.symbols[gene] for gene in untold if verdicts[gene].status is not GeneStatus.HIDDEN]

    assert len(untold) == 24
    assert len(shown) <= 0.05 * len(untold)


def test_a_gene_that_follows_depth_is_exposed_when_depth_is_partialled_out(
    simulated_cohort: JudgedCohort, verdicts: list[GeneEvidence]
) -> None:
    confounded = simulated_cohort.of_kind("depth")

    assert (held_out(simulated_cohort, "r")[:, confounded].mean(axis=0) > 0.4).all()
    assert (np.abs(held_out(simulated_cohort, "depth_adjusted_r")[:, confounded].mean(axis=0)) < 0.1).all()
    for gene in np.flatnonzero(confounded):
        assert verdicts[gene].status is GeneStatus.HIDDEN
        assert "sequencing depth partialled out r is" in verdicts[gene].reason


def test_intervals_of_90_percent_cover_85_to_95_percent_on_new_patients(simulated_cohort: JudgedCohort) -> None:
    calibration = calibrate_folds(simulated_cohort.scores, simulated_cohort.sections)

    assert calibration is not None
    assert (calibration.summary.unit, calibration.summary.n_units) == ("patient", 8)
    assert calibration.summary.coverage == 0.9
    assert 0.85 <= calibration.summary.held_out_coverage <= 0.95
    assert all(0.85 <= covered <= 0.95 for covered in calibration.summary.by_unit.values())
    assert np.mean((calibration.covered_by_gene >= 0.8) & (calibration.covered_by_gene <= 0.99)) >= 0.8
