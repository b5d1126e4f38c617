"""Genes, what is known about their predictability, and predicted values."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class GeneStatus(StrEnum):
    """Whether held-out evidence lets a gene be shown."""

    SUPPORTED = "supported"
    """Patients kept apart from training support it."""

    EXPLORATORY = "exploratory"
    """Too few patients to judge; tissue kept apart from training supports it within those few."""

    HIDDEN = "hidden"
    """Not supported: never shown, never written."""


@dataclass(frozen=True, slots=True)
class Gene:
    """A human gene.

    Parameters
    ----------
    symbol
        HGNC approved symbol, such as ``ERBB2``.
    hgnc_id
        HGNC identifier, such as ``HGNC:3430``; None where the symbol could not be resolved.
    """

    symbol: str
    hgnc_id: str | None = None


@dataclass(frozen=True, slots=True)
class PanelGene:
    """A gene of a bundle with its held-out evidence.

    Parameters
    ----------
    gene
        Which gene.
    status
        Whether it may be shown.
    reason
        Why, in one sentence for people.
    held_out_r
        Pearson correlation of predicted and measured expression on tissue kept apart from training.
    held_out_interval
        95 % interval of it; None where too few units exist to say.
    held_out_unit
        What was kept apart: ``patient`` or ``section``.
    n_held_out
        How many such units.
    depth_adjusted_r
        The same correlation with sequencing depth partialled out; None where not computed.
    ranks_only
        Whether only the order of predicted values may be read: on held-out tissue their differences were too large or
        too small.
    """

    gene: Gene
    status: GeneStatus
    reason: str
    held_out_r: float
    held_out_interval: tuple[float, float] | None
    held_out_unit: str
    n_held_out: int
    depth_adjusted_r: float | None = None
    ranks_only: bool = False

    @property
    def shown(self) -> bool:
        """Whether values of this gene may leave the product."""
        return self.status is not GeneStatus.HIDDEN


@dataclass(frozen=True, eq=False)
class ExpressionTable:
    """Predicted relative mRNA expression of tiles.

    Parameters
    ----------
    genes
        One per column.
    values
        In `vst_dicom.domain.wording.UNIT`, shape ``(n_tiles, n_genes)``, rows in the order of the grid's cells.

    Raises
    ------
    ValueError
        If the shape does not fit the genes or a value is not finite.
    """

    genes: tuple[PanelGene, ...]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.genes):
            msg = f"values must have shape (n_tiles, {len(self.genes)}), not {self.values.shape}"
            raise ValueError(msg)
        if not np.isfinite(self.values).all():
            raise ValueError("predicted values must be finite")

    def shown(self) -> "ExpressionTable":
        """Only the genes that may leave the product."""
        keep = [index for index, gene in enumerate(self.genes) if gene.shown]
        return ExpressionTable(tuple(self.genes[index] for index in keep), self.values[:, keep])
