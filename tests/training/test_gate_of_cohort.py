"""The whole of the evidence on eight made-up patients whose truth is known."""

import numpy as np
import pytest
from scipy import ndimage

from vst_dicom.training.evaluate import evaluate
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit import Recipe
from vst_dicom.training.gate import GeneEvidence, judge

SIDE = 14
N_PROGRAMMED, N_UNPREDICTABLE, N_DEPTH = 15, 40, 3
RECIPE = Recipe(n_components=16, alphas=(0.03,), ranks=(10,), n_members=0)
PATIENTS = tuple(f"P{number}" for number in range(8))


def smooth(random: np.random.Generator, n_maps: int, sigma: float = 1.5) -> np.ndarray:
    maps = ndimage.gaussian_filter(random.standard_normal((SIDE, SIDE, n_maps)), (sigma, sigma, 0))
    return (maps / maps.std(axis=(0, 1))).reshape(-1, n_maps)


def section(patient: str, seed: int) -> SectionSpots:
    """Programmed genes follow the features by the same weights everywhere, others follow maps of their own, the last
    follow the depth, which follows a feature."""
    random = np.random.default_rng(seed)
    features = np.column_stack([smooth(random, 8), random.standard_normal((SIDE * SIDE, 8))])
    depth = 0.9 * features[:, 0] + 0.4 * smooth(random, 1)[:, 0]
    weights = np.random.default_rng(99).standard_normal((8, N_PROGRAMMED)) / np.sqrt(8)
    genes = np.column_stack([
        features[:, :8] @ weights,
        smooth(random, N_UNPREDICTABLE),
        np.repeat(depth[:, None], N_DEPTH, axis=1),
    ])  # fmt: skip
    return SectionSpots(
        section_id=f"{patient}-1",
        patient=patient,
        centers_px=200.0 * np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1).reshape(-1, 2),
        features=np.column_stack([features, features]).astype(np.float32),
        plain=random.uniform(1, 9, (SIDE * SIDE, 3)),
        expression=(genes + 0.7 * random.standard_normal(genes.shape)).astype(np.float32),
        total_counts=2000 * np.exp(0.5 * depth),
        site="one",
        markers=np.zeros((SIDE * SIDE, 0), dtype=np.float32),
    )


@pytest.fixture(scope="module")
def verdicts() -> list[GeneEvidence]:
    sections = [section(patient, seed) for seed, patient in enumerate(PATIENTS)]
    return judge(evaluate(sections, RECIPE, n_draws=199), PATIENTS, seed=0)


def test_programmed_genes_are_supported(verdicts: list[GeneEvidence]) -> None:
    shown = [verdict.status == "supported" for verdict in verdicts[:N_PROGRAMMED]]

    assert np.mean(shown) >= 0.9


def test_at_most_one_unpredictable_gene_in_twenty_is_shown(verdicts: list[GeneEvidence]) -> None:
    shown = [verdict.status != "hidden" for verdict in verdicts[N_PROGRAMMED : N_PROGRAMMED + N_UNPREDICTABLE]]

    assert np.mean(shown) <= 0.05


def test_genes_that_follow_the_depth_are_exposed_and_hidden(verdicts: list[GeneEvidence]) -> None:
    for verdict in verdicts[-N_DEPTH:]:
        assert verdict.r > 0.4
        assert verdict.depth_adjusted_r < 0.15
        assert verdict.baselines["total_counts"] > verdict.r
        assert verdict.status == "hidden"
        assert "sequencing depth alone gives" in verdict.reason


def test_programmed_genes_are_calibrated(verdicts: list[GeneEvidence]) -> None:
    assert np.median([verdict.slope for verdict in verdicts[:N_PROGRAMMED]]) == pytest.approx(1, abs=0.15)
