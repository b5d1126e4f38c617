"""A simulated cohort, trained and scored once for all tests that judge a model against the truth."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from vst_dicom.simulate.cohort import CohortRecipe, write_cohort
from vst_dicom.training.cohort import Cohort, read_cohort
from vst_dicom.training.evaluate import FoldScore, evaluate
from vst_dicom.training.features import SectionSpots, describe_cohort
from vst_dicom.training.fit import Recipe
from vst_dicom.training.panel import read_panel
from vst_dicom.training.weights import read_weights

RECIPE = Recipe(n_components=128, alphas=(0.3, 3.0), ranks=(10,))


@dataclass(frozen=True, eq=False)
class JudgedCohort:
    """Eight simulated patients, the held-out predictions for them, and the truth."""

    cohort: Cohort
    sections: list[SectionSpots]
    scores: list[FoldScore]
    truth: dict[str, Any]

    @cached_property
    def symbols(self) -> list[str]:
        return [gene["symbol"] for gene in self.truth["genes"]]

    def of_kind(self, *kinds: str) -> np.ndarray:
        """Which genes are of these kinds."""
        return np.array([gene["kind"] in kinds for gene in self.truth["genes"]])

    @cached_property
    def ceilings(self) -> np.ndarray:
        """Noise ceilings, shape ``(n_patients, n_genes)``."""
        return np.array([list(gene["noise_ceiling"].values()) for gene in self.truth["genes"]]).T


@pytest.fixture(scope="session")
def simulated_cohort(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgedCohort]:
    folder = tmp_path_factory.mktemp("simulated") / "cohort"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        write_cohort(CohortRecipe(8, 1, side_mm=1.5, seed=1), folder, now=datetime(2026, 1, 2, tzinfo=UTC))
        cohort, weights = read_cohort(folder / "cohort.toml"), read_weights()
        panel = [gene.symbol for gene in read_panel(folder / "panel.txt")]
        sections = describe_cohort(cohort, folder, panel, weights.engine("cpu", 1), weights.key)
        scores = evaluate(sections, RECIPE, n_draws=199)
        yield JudgedCohort(cohort, sections, scores, json.loads((folder / "truth.json").read_text(encoding="utf-8")))
    torch.set_num_threads(threads)
