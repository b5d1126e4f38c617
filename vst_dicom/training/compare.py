"""Two bundles on the same tissue, which neither was fitted on: paired differences with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import InputError
from vst_dicom.predict.manifest import Manifest
from vst_dicom.training.cohort import Cohort
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.lattice import blocks
from vst_dicom.training.scores import (
    LEAST_UNITS_FOR_INTERVAL,
    FloatArray,
    bootstrap_interval,
    correlation_shares,
    without_depth,
)

Unit = Literal["patient", "section", "block"]

UNIT_NOTES: Final[dict[Unit, str]] = {
    "patient": "over patients",
    "section": "over sections, since there are too few patients: it does not speak for other patients",
    "block": "over blocks of 4 × 4 spots, since there are too few sections: it speaks for this tissue alone",
}
"""What the intervals were drawn over, and what follows."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two correlations on the same tissue and how far they are apart.

    Parameters
    ----------
    first, second
        Of the two bundles, mean over the units.
    difference, low, high
        Second less first, and its 95 % interval.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two bundles compared.

    Parameters
    ----------
    sections, n_patients
        What was compared on.
    unit, n_units
        What the intervals were drawn over.
    symbols
        Genes that both predict.
    r, depth_adjusted_r
        Mean over these genes.
    genes, depth_adjusted_genes
        Each gene, in the order of `symbols`.
    """

    sections: tuple[str, ...]
    n_patients: int
    unit: Unit
    n_units: int
    symbols: tuple[str, ...]
    r: Difference
    depth_adjusted_r: Difference
    genes: tuple[Difference, ...]
    depth_adjusted_genes: tuple[Difference, ...]


def common_symbols(first: Manifest, second: Manifest) -> tuple[str, ...]:
    """Genes that both bundles predict, in the order of the first.

    Raises
    ------
    InputError
        If there is none.
    """
    of_second = {gene.symbol for gene in second.genes}
    symbols = tuple(gene.symbol for gene in first.genes if gene.symbol in of_second)
    if not symbols:
        msg = f"bundles {first.id} and {second.id} have no gene in common; there is nothing to compare"
        raise InputError(msg)
    return symbols


def unseen_sections(cohort: Cohort, manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """Sections of patients that none of the bundles was fitted on.

    Raises
    ------
    InputError
        If there is none.
    """
    fitted = {(c.doi, patient) for m in manifests for c in m.training.cohorts for patient in c.patients}
    unseen = tuple(section.id for section in cohort.section if (cohort.doi, section.patient) not in fitted)
    if not unseen:
        names = " and ".join(dict.fromkeys(manifest.id for manifest in manifests))
        msg = (
            f"nothing in this cohort is held out from {names}: every patient trained one of them; give a cohort with "
            "other patients"
        )
        raise InputError(msg)
    return unseen


def compare(
    symbols: Sequence[str],
    sections: Sequence[SectionSpots],
    first: Sequence[NDArray[np.float32]],
    second: Sequence[NDArray[np.float32]],
    seed: int = 0,
) -> Comparison:
    """Compare two bundles' predictions of the same spots.

    Parameters
    ----------
    symbols
        Genes in the order of the columns.
    sections
        What was measured; the caller makes sure that neither bundle was fitted on it.
    first, second
        Predictions per section, each of shape ``(n_spots, n_genes)``.
    seed
        Of the draws.
    """
    patients = list(dict.fromkeys(section.patient for section in sections))
    unit: Unit = "block"
    if len(sections) >= LEAST_UNITS_FOR_INTERVAL:
        unit = "section"
    if len(patients) >= LEAST_UNITS_FOR_INTERVAL:
        unit = "patient"
    of_first, of_second = (_in_units(sections, predicted, unit) for predicted in (first, second))
    return Comparison(
        sections=tuple(section.section_id for section in sections),
        n_patients=len(patients),
        unit=unit,
        n_units=len(of_first[0]),
        symbols=tuple(symbols),
        r=_of_panel(of_first[0], of_second[0], seed),
        depth_adjusted_r=_of_panel(of_first[1], of_second[1], seed),
        genes=_of_genes(of_first[0], of_second[0], seed),
        depth_adjusted_genes=_of_genes(of_first[1], of_second[1], seed),
    )


def _in_units(
    sections: Sequence[SectionSpots], predicted: Sequence[NDArray[np.float32]], unit: Unit
) -> tuple[FloatArray, FloatArray]:
    """Give r and depth-adjusted r in units whose mean is the mean over sections, each ``(n_units, n_genes)``."""
    pairs = list(zip(sections, predicted, strict=True))
    shares = (
        [correlation_shares(values, section.expression) for section, values in pairs],
        [
            correlation_shares(
                without_depth(values, section.total_counts), without_depth(section.expression, section.total_counts)
            )
            for section, values in pairs
        ],
    )
    if unit == "block":
        n_blocks = [len(np.unique(blocks(section.centers_px))) for section in sections]
        scale = sum(n_blocks) / len(sections)
        raw, adjusted = (
            scale * np.concatenate([_block_sums(section, one) for section, one in zip(sections, kept, strict=True)])
            for kept in shares
        )
        return raw, adjusted
    raw, adjusted = (np.array([one.sum(axis=0) for one in kept]) for kept in shares)
    if unit == "section":
        return raw, adjusted
    patients = np.array([section.patient for section in sections])
    of_patients = [patients == patient for patient in dict.fromkeys(patients)]
    return (
        np.array([raw[mine].mean(axis=0) for mine in of_patients]),
        np.array([adjusted[mine].mean(axis=0) for mine in of_patients]),
    )


def _block_sums(section: SectionSpots, shares: FloatArray) -> FloatArray:
    """Sum of the shares in each block, shape ``(n_blocks, n_genes)``."""
    block = blocks(section.centers_px)
    sums = np.zeros((block.max() + 1, shares.shape[1]))
    np.add.at(sums, block, shares)
    return sums


def _of_genes(first: FloatArray, second: FloatArray, seed: int) -> tuple[Difference, ...]:
    low, high = bootstrap_interval(second - first, np.mean, seed)
    means = zip(first.mean(axis=0), second.mean(axis=0), low, high, strict=True)
    return tuple(Difference(float(a), float(b), float(b - a), float(lo), float(hi)) for a, b, lo, hi in means)


def _of_panel(first: FloatArray, second: FloatArray, seed: int) -> Difference:
    (panel,) = _of_genes(first.mean(axis=1, keepdims=True), second.mean(axis=1, keepdims=True), seed)
    return panel
