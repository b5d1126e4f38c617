"""Measured spots of a section: counts and places, read from tables or AnnData, and normalized for depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from vst_dicom.training.cohort import Section
from vst_dicom.training.spot_anndata import read_anndata
from vst_dicom.training.spot_tables import read_tables

COUNTS_PER_SPOT: Final = 10_000
"""Counts of a spot are scaled to this sum before the logarithm."""


@dataclass(frozen=True, eq=False)
class MeasuredSpots:
    """Spots of a section that have both a place and counts.

    Parameters
    ----------
    keys
        Name of each spot: its array position as text, such as ``10x21``, or its barcode.
    centers_px
        x, y in the image, pixel centers at whole numbers, shape ``(n_spots, 2)``.
    expression
        ln(1 + CP10k) of the panel, shape ``(n_spots, n_genes)``; 0 for a gene that the file does not list, since
        files leave out what was never counted.
    markers
        The same of the marker genes, shape ``(n_spots, n_markers)``.
    total_counts
        Raw counts of all genes, shape ``(n_spots,)``.
    absent
        Genes of the panel that the file does not list.
    dropped
        How many rows had only a place, only counts, or no count at all, or lay outside the tissue.
    """

    keys: tuple[str, ...]
    centers_px: NDArray[np.float64]
    expression: NDArray[np.float32]
    markers: NDArray[np.float32]
    total_counts: NDArray[np.float64]
    absent: tuple[str, ...]
    dropped: int


def read_spots(section: Section, data_folder: Path, panel: Sequence[str], markers: Sequence[str] = ()) -> MeasuredSpots:
    """Read counts and places of a section and join them.

    Parameters
    ----------
    section, data_folder
        What to read.
    panel, markers
        Symbols of the genes to predict, and of those that tell kinds of tissue apart.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputError
        If a file has another form, holds something else than counts, or no spot has both.
    """
    genes = (*panel, *markers)
    if section.counts is not None and section.spots is not None:
        counted = read_tables(data_folder / section.counts, data_folder / section.spots, genes, section.id)
    else:
        counted = read_anndata(data_folder / cast(Path, section.h5ad), genes, section.id)
    scaled = counted.chosen / counted.total_counts[:, None] * COUNTS_PER_SPOT
    normalized = np.log1p(scaled).astype(np.float32)
    return MeasuredSpots(
        keys=counted.keys,
        centers_px=counted.centers_px,
        expression=normalized[:, : len(panel)],
        markers=normalized[:, len(panel) :],
        total_counts=counted.total_counts,
        absent=tuple(symbol for symbol in panel if symbol not in counted.listed),
        dropped=counted.dropped,
    )
