"""From painted cells to counted transcripts: known expression, then capture and counting with their noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.simulate.cells import KINDS
from vst_dicom.simulate.noise import SmoothNoise, make_rng
from vst_dicom.simulate.programs import REST, GeneKind, SimulatedGene
from vst_dicom.training.spots import COUNTS_PER_SPOT

_TRANSCRIPTS_PER_CELL: Final = np.array([4.0, 6.0, 1.0, 8.0])
"""Of each of `KINDS`, relative to a lymphocyte."""

_AMBIENT: Final = 0.06
"""Transcripts that drifted in from the whole section, as a part of the section's mean."""

_CAPTURE_UM: Final = 350.0
_CAPTURE_SMOOTH: Final = 0.25
_CAPTURE_SPOT: Final = 0.15
"""Standard deviation of the logarithm of the part that is caught: over the section, and from spot to spot."""

_SURFACE: Final = 0.8
"""Standard deviation of the logarithm of expression that follows no picture."""

_DISPERSION: Final = 0.04
"""Of the negative binomial: variance = mean + dispersion * mean²."""

_FEWEST_COUNTS: Final = 30


@dataclass(frozen=True, eq=False)
class SimulatedCounts:
    """Transcripts of a section.

    Parameters
    ----------
    symbols
        The panel, then `REST`.
    counts
        Shape ``(n_spots, n_symbols)``.
    expected
        True counts per 10,000 of the panel, shape ``(n_spots, n_genes)``.
    """

    symbols: tuple[str, ...]
    counts: NDArray[np.int64]
    expected: NDArray[np.float64]

    @property
    def measured(self) -> NDArray[np.float64]:
        """Counts per 10,000 of the panel, as a reader of the counts finds them, shape ``(n_spots, n_genes)``."""
        n_genes = self.expected.shape[1]
        scaled: NDArray[np.float64] = COUNTS_PER_SPOT * self.counts[:, :n_genes] / self.counts.sum(axis=1)[:, None]
        return scaled


def count_transcripts(
    cells: NDArray[np.float64],
    centers_um: NDArray[np.float64],
    genes: Sequence[SimulatedGene],
    median_counts: float,
    gene_factors: NDArray[np.float64],
    seed: int,
) -> SimulatedCounts:
    """Draw the transcripts of the spots of a section.

    Parameters
    ----------
    cells
        Cells of each of `KINDS`, shape ``(n_spots, 4)``.
    centers_um
        y, x of the spots, shape ``(n_spots, 2)``.
    genes
        The panel.
    median_counts
        Transcripts of a middling spot.
    gene_factors
        What this patient has of each gene, relative to others, shape ``(n_genes,)``.
    seed
        Of everything that is drawn.
    """
    random = make_rng(seed, "transcripts")
    content = cells * _TRANSCRIPTS_PER_CELL
    content += _AMBIENT * content.mean(axis=0)
    amount = content.sum(axis=1)
    capture = _CAPTURE_SMOOTH * SmoothNoise(seed, "capture", _CAPTURE_UM).at(*centers_um.T)
    capture = capture + _CAPTURE_SPOT * random.standard_normal(len(cells))
    depth = median_counts * amount / np.median(amount) * np.exp(capture)
    mixture = content / amount[:, None]
    expected = gene_factors * np.column_stack(
        [_express(gene, mixture, depth / median_counts, centers_um, seed) for gene in genes]
    )
    rest = np.clip(COUNTS_PER_SPOT - expected.sum(axis=1), 0.2 * COUNTS_PER_SPOT, None)
    everything = np.column_stack([expected, np.repeat(rest[:, None] / len(REST), len(REST), axis=1)])
    shares = everything / everything.sum(axis=1, keepdims=True)
    mean = np.maximum(depth, _FEWEST_COUNTS)[:, None] * shares
    counts = random.poisson(random.gamma(1 / _DISPERSION, _DISPERSION * mean))
    return SimulatedCounts((*(gene.symbol for gene in genes), *REST), counts, COUNTS_PER_SPOT * shares[:, : len(genes)])


def _express(
    gene: SimulatedGene,
    mixture: NDArray[np.float64],
    relative_depth: NDArray[np.float64],
    centers_um: NDArray[np.float64],
    seed: int,
) -> NDArray[np.float64]:
    """Give the counts per 10,000 of a gene, shape ``(n_spots,)``."""
    surface: NDArray[np.float64]
    match gene.kind:
        case GeneKind.PROGRAM:
            weights = np.array([gene.weights.get(kind, 0.0) for kind in KINDS])
            return np.asarray(mixture @ weights)
        case GeneKind.SMOOTH:
            surface = SmoothNoise(seed, f"gene {gene.symbol}", gene.scale_um).at(*centers_um.T).astype(np.float64)
        case GeneKind.SPECKLED:
            surface = make_rng(seed, f"gene {gene.symbol}").standard_normal(len(mixture))
        case GeneKind.FLAT:
            surface = np.zeros(len(mixture))
        case GeneKind.DEPTH:
            surface = np.log(relative_depth) / _SURFACE
    return np.asarray(gene.level * np.exp(_SURFACE * surface))
