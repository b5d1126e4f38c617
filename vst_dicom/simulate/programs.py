"""The genes of a simulated cohort: which follow the picture, which cannot, and how much there is of each."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class GeneKind(StrEnum):
    """What decides the expression of a simulated gene."""

    PROGRAM = "program"
    """The cells of the spot, which are painted: it can be predicted."""

    SMOOTH = "smooth"
    """A smooth surface over the section that the picture knows nothing of."""

    SPECKLED = "speckled"
    """Chance, from spot to spot."""

    FLAT = "flat"
    """Nothing: the same everywhere."""

    DEPTH = "depth"
    """The number of transcripts that the spot yielded, which is larger where more cells are seen."""


@dataclass(frozen=True, slots=True)
class SimulatedGene:
    """A gene of a simulated cohort.

    Parameters
    ----------
    symbol
        HGNC symbol; what the gene does here is made up, but for the markers of a kind of cell.
    kind
        What decides its expression.
    level
        Counts per 10,000 where nothing raises or lowers it; of a program, see `weights`.
    weights
        Of a program: counts per 10,000 in spots that hold this kind of cell alone; see `vst_dicom.simulate.cells`.
    scale_um
        Of a smooth gene: distance between the knots of its surface; features are about twice as wide; 0 for others.
    """

    symbol: str
    kind: GeneKind
    level: float = 0.0
    weights: dict[str, float] = field(default_factory=dict)
    scale_um: float = 0.0


def _programs(kind: str, levels: dict[str, float]) -> tuple[SimulatedGene, ...]:
    return tuple(SimulatedGene(symbol, GeneKind.PROGRAM, weights={kind: level}) for symbol, level in levels.items())


def _plain(kind: GeneKind, levels: dict[str, float]) -> tuple[SimulatedGene, ...]:
    return tuple(SimulatedGene(symbol, kind, level) for symbol, level in levels.items())


GENES: Final = (
    *_programs("tumor", {"EPCAM": 90, "KRT8": 150, "KRT18": 120, "KRT19": 200, "KRT7": 60, "CDH1": 45, "ERBB2": 180,
                         "CLDN4": 50, "GRB7": 25, "FASN": 40}),
    *_programs("stroma", {"COL1A1": 260, "COL1A2": 180, "COL3A1": 220, "COL6A3": 60, "DCN": 80, "LUM": 70,
                          "FN1": 120, "SPARC": 150, "POSTN": 45}),
    *_programs("lymphocyte", {"CD3E": 40, "CD3D": 60, "CD2": 45, "TRBC2": 90, "MS4A1": 70, "CD79A": 110,
                              "PTPRC": 50, "LTB": 80, "CCL5": 60}),
    *_programs("fat", {"ADIPOQ": 220, "FABP4": 300, "PLIN1": 140, "PLIN4": 120, "LPL": 90}),
    SimulatedGene("VIM", GeneKind.PROGRAM, weights={"stroma": 160, "lymphocyte": 80}),
    SimulatedGene("B2M", GeneKind.PROGRAM, weights={"lymphocyte": 240, "tumor": 50, "stroma": 60}),
    SimulatedGene("CD74", GeneKind.PROGRAM, weights={"lymphocyte": 260, "stroma": 40}),
    SimulatedGene("CXCL12", GeneKind.PROGRAM, weights={"stroma": 70, "fat": 50}),
    *(SimulatedGene(symbol, GeneKind.SMOOTH, 60, scale_um=scale_um) for symbol, scale_um in (
        ("CRISP3", 60), ("PIP", 60), ("SCGB2A2", 120), ("SCGB1D2", 120), ("CPB1", 120), ("MUCL1", 250),
        ("AZGP1", 250), ("S100G", 250), ("TFF1", 500), ("CALML5", 500), ("CEACAM6", 500), ("SERPINA3", 1000))),
    *_plain(GeneKind.SPECKLED, {"HBB": 60, "HBA2": 60, "FOS": 60, "EGR1": 60, "HSPA1A": 60, "MT1X": 60, "JUNB": 60,
                                "DUSP1": 60}),
    *_plain(GeneKind.FLAT, {"ACTB": 120, "GAPDH": 120, "RPLP0": 120, "UBB": 60}),
    *_plain(GeneKind.DEPTH, {"MALAT1": 80, "NEAT1": 60}),
)  # fmt: skip
"""The panel of every simulated cohort."""

REST: Final = (
    "MT-CO1", "MT-CO2", "MT-CO3", "MT-ND1", "MT-ND4", "MT-CYB", "MT-ATP6", "EEF1A1", "TPT1", "RPL13", "RPS18", "RPS27",
)  # fmt: skip
"""Genes beside the panel that take the rest of a spot's transcripts, so that they are nobody's target."""
