"""What makes the patients of a simulated cohort differ: tissue, dyes, scanner, yield of transcripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.simulate.noise import make_rng
from vst_dicom.simulate.programs import SimulatedGene
from vst_dicom.simulate.regions import TissueParts
from vst_dicom.simulate.slide import Preparation
from vst_dicom.simulate.stain import Camera, DyeAmount

SITES: Final = {
    "north": Camera(),
    "south": Camera(glass=(240, 239, 231), response=(0.93, 1.04, 1.08), blur_px=0.8),
    "west": Camera(glass=(247, 245, 249), response=(1.07, 0.96, 0.93), blur_px=0.5, noise=1.8),
}
"""Each site has a scanner of its own; patients are dealt to the sites in turn."""

_FEWEST_COUNTS: Final = 1500.0
_MOST_COUNTS: Final = 6000.0
_GENE_FACTOR: Final = 0.15
"""Standard deviation of the logarithm of what a patient has of a gene, relative to others."""


@dataclass(frozen=True, eq=False)
class SimulatedPatient:
    """A patient of a simulated cohort.

    Parameters
    ----------
    name
        Pseudonym.
    site
        Where the slides were scanned, a key of `SITES`.
    preparation
        How the slides were made.
    median_counts
        Transcripts of a middling spot.
    gene_factors
        What the patient has of each gene, relative to others, shape ``(n_genes,)``.
    """

    name: str
    site: str
    preparation: Preparation
    median_counts: float
    gene_factors: NDArray[np.float64]


def draw_patients(n_patients: int, genes: Sequence[SimulatedGene], seed: int) -> list[SimulatedPatient]:
    """Draw patients; the first ones of a larger cohort with the same seed are the same."""
    patients = []
    for number in range(n_patients):
        name = f"P{number + 1}"
        random = make_rng(seed, f"patient {name}")
        dyes = DyeAmount(hematoxylin=float(random.uniform(0.75, 1.25)), eosin=float(random.uniform(0.7, 1.3)))
        parts = TissueParts(
            tumor=float(random.uniform(0.28, 0.5)),
            lymphoid=float(random.uniform(0.07, 0.16)),
            fat=float(random.uniform(0.10, 0.20)),
        )
        site = list(SITES)[number % len(SITES)]
        patients.append(
            SimulatedPatient(
                name,
                site,
                Preparation(dyes, SITES[site], parts),
                median_counts=float(np.exp(random.uniform(np.log(_FEWEST_COUNTS), np.log(_MOST_COUNTS)))),
                gene_factors=np.exp(_GENE_FACTOR * random.standard_normal(len(genes))),
            )
        )
    return patients
