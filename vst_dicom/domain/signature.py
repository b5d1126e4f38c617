"""Gene signatures: which genes, how they are put together, and when a score may be given."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.expression import Gene, GeneStatus

LEAST_SHARE: Final = 0.5
"""Least part of a signature's genes, and of its weights, that must be usable."""

LEAST_GENES: Final = 3
"""Fewest usable genes; a signature of fewer genes needs all of them."""

_OFFSET_CP10K: Final = 1e-4
"""Added to counts before the geometric mean, so that one absent gene does not make it zero: 0.01 per million."""


class Scoring(StrEnum):
    """How the genes of a signature become one number."""

    MEAN_Z = "mean z"
    """Mean of z-scores by mean and standard deviation of the training cohort; genes of weight -1 count negative."""

    WEIGHTED_SUM = "weighted sum"
    """Sum of weight times log2(1 + CP10k)."""

    GEOMETRIC_MEAN = "geometric mean"
    """Of counts per 10,000."""

    NOT_SCORED = "not scored"
    """A set of genes without a number of its own."""

    @property
    def unit(self) -> str:
        """Of the score."""
        return _UNITS[self]


_UNITS: Final = {
    Scoring.MEAN_Z: "standard deviations of the training cohort",
    Scoring.WEIGHTED_SUM: "weighted log2(1+CP10k)",
    Scoring.GEOMETRIC_MEAN: "CP10k",
    Scoring.NOT_SCORED: "",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A gene of a signature.

    Parameters
    ----------
    gene
        Which gene.
    weight
        Its weight; 1 or -1 in a mean of z-scores.
    published_as
        The symbol of the source, where it has been replaced since.
    """

    gene: Gene
    weight: float = 1.0
    published_as: str | None = None

    def is_same(self, gene: Gene) -> bool:
        """Whether the genes are one, by identifier where both have one, else by symbol."""
        if self.gene.hgnc_id is not None and gene.hgnc_id is not None:
            return self.gene.hgnc_id == gene.hgnc_id
        return gene.symbol in (self.gene.symbol, self.published_as)


@dataclass(frozen=True, slots=True)
class Signature:
    """A published list of genes with its scoring.

    Parameters
    ----------
    signature_id, name
        Short id, and name for people.
    scoring
        How the genes become one number.
    members
        The genes.
    citation, doi
        Where it was published.
    note
        What a reader of the score must know; may be empty.

    Raises
    ------
    ValueError
        If it has no genes, a gene twice, or weights that do not fit the scoring.
    """

    signature_id: str
    name: str
    scoring: Scoring
    members: tuple[Member, ...]
    citation: str
    doi: str
    note: str = ""

    def __post_init__(self) -> None:
        symbols = [member.gene.symbol for member in self.members]
        if not symbols or len(set(symbols)) < len(symbols):
            msg = f"signature {self.signature_id} has no genes, or one of them twice"
            raise ValueError(msg)
        allowed = {1.0, -1.0} if self.scoring is Scoring.MEAN_Z else {1.0}
        if self.scoring is not Scoring.WEIGHTED_SUM and {member.weight for member in self.members} - allowed:
            msg = f"signature {self.signature_id}: only a weighted sum has weights of its own"
            raise ValueError(msg)

    def find_fault(self, usable: Sequence[Member]) -> str:
        """Say why no score may be given from these of its members; empty if one may.

        A score from half of a list still says what the list is about only where that half has at least half of the
        weight, and, in a contrast of two groups of genes, genes of both.
        """
        counted = f"{len(usable)} of {len(self.members)} genes usable"
        if self.scoring is Scoring.NOT_SCORED:
            return f"{counted}; it is a set of genes without a score"
        if len(usable) < LEAST_SHARE * len(self.members):
            return f"{counted}, fewer than half"
        if len(usable) < min(LEAST_GENES, len(self.members)):
            least = "all are needed" if len(self.members) <= LEAST_GENES else f"fewer than {LEAST_GENES}"
            return f"{counted}, {least}"
        share = sum(abs(member.weight) for member in usable) / sum(abs(member.weight) for member in self.members)
        if share < LEAST_SHARE:
            return f"{counted}, but they carry {share:.0%} of the weights, less than half"
        if self.scoring is Scoring.MEAN_Z and len({m.weight for m in usable}) < len({m.weight for m in self.members}):
            return f"{counted}, all on one side of the contrast"
        return ""


@dataclass(frozen=True, slots=True)
class ScoredGene:
    """A usable gene of a signature.

    Parameters
    ----------
    gene, weight
        As of the `Member`, with the symbol of the panel.
    mean, sd
        Of measured expression over the training spots, ln(1 + CP10k); the standard deviation is positive.
    """

    gene: Gene
    weight: float
    mean: float
    sd: float


def combine(scoring: Scoring, genes: Sequence[ScoredGene], values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Put the genes together.

    Parameters
    ----------
    scoring
        How.
    genes
        One per column of `values`.
    values
        ln(1 + CP10k), shape ``(n_tiles, n_genes)``.

    Returns
    -------
    NDArray[np.float32]
        Shape ``(n_tiles,)``, in the unit of `scoring`.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the scoring gives no number.
    """
    if values.ndim != 2 or values.shape[1] != len(genes) or not genes:
        msg = f"values must have shape (n_tiles, {len(genes)}) with at least one gene, not {values.shape}"
        raise ValueError(msg)
    weights = np.array([gene.weight for gene in genes])
    expression = values.astype(np.float64)
    if scoring is Scoring.MEAN_Z:
        z = (expression - [gene.mean for gene in genes]) / [gene.sd for gene in genes]
        score = z @ weights / len(genes)
    elif scoring is Scoring.WEIGHTED_SUM:
        score = expression @ weights / np.log(2)
    elif scoring is Scoring.GEOMETRIC_MEAN:
        counts = np.expm1(np.maximum(expression, 0))
        score = np.exp(np.log(counts + _OFFSET_CP10K).mean(axis=1))
    else:
        raise ValueError("this signature is a set of genes without a score")
    return np.asarray(score, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class PanelSignature:
    """A signature as far as a bundle knows its genes, with the held-out evidence of the score itself.

    Parameters
    ----------
    signature_id, name, scoring, citation, note
        As of the `Signature`.
    n_genes
        Genes of the published list.
    genes
        Those that the bundle may show.
    status, reason
        Whether the score may be shown, and why, in one sentence for people.
    held_out_r, held_out_interval, held_out_unit, n_held_out, depth_adjusted_r
        As of `vst_dicom.domain.expression.PanelGene`, for the score; None where it was not tested since too few of its
        genes are usable.
    """

    signature_id: str
    name: str
    scoring: Scoring
    citation: str
    note: str
    n_genes: int
    genes: tuple[ScoredGene, ...]
    status: GeneStatus
    reason: str
    held_out_r: float | None = None
    held_out_interval: tuple[float, float] | None = None
    held_out_unit: str | None = None
    n_held_out: int = 0
    depth_adjusted_r: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the score may leave the product."""
        return self.status is not GeneStatus.HIDDEN

    @property
    def coverage(self) -> str:
        """How many of the genes are usable, for people."""
        return f"{len(self.genes)} of {self.n_genes} genes usable"


@dataclass(frozen=True, eq=False)
class SignatureScore:
    """A signature on a slide.

    Parameters
    ----------
    signature
        Which.
    values
        In the unit of its scoring, shape ``(n_tiles,)``; None where it is not shown.
    """

    signature: PanelSignature
    values: NDArray[np.float32] | None
