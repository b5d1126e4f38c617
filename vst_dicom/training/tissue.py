"""Tissue classes from measured marker genes."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.tissue import FAT, LYMPHOCYTE_RICH, OTHER, STROMA, TUMOR_LIKE

MARKERS_OF: Final = {
    TUMOR_LIKE: (
        "EPCAM", "KRT8", "KRT18", "KRT19", "KRT7", "CDH1", "ERBB2", "MUC1", "ELF3", "CLDN3", "CLDN4", "CLDN7",
        "SPINT2", "TACSTD2", "AGR2",
    ),
    STROMA: (
        "COL1A1", "COL1A2", "COL3A1", "COL6A1", "COL6A2", "COL6A3", "DCN", "LUM", "FN1", "SPARC", "POSTN", "THY1",
        "BGN", "ACTA2", "TAGLN", "FBLN1", "VCAN",
    ),
    LYMPHOCYTE_RICH: (
        "CD3E", "CD3D", "CD2", "TRAC", "TRBC2", "PTPRC", "CD74", "CD52", "CXCR4", "MS4A1", "CD79A", "CD79B", "IGHM",
        "IGKC", "IGHG1", "IGHG3", "JCHAIN", "IGLC2", "CD19", "LTB", "CCL19", "CD37", "CORO1A", "MZB1",
    ),
    FAT: (
        "ADIPOQ", "FABP4", "PLIN1", "PLIN4", "CD36", "LPL", "ADH1B", "CIDEC", "CIDEA", "LEP", "GPD1", "AQP7", "LIPE",
        "G0S2",
    ),
}  # fmt: skip
"""Genes by which pathologists' tissue classes are known in expression; common knowledge, not fitted to any cohort."""

MARKERS: Final = tuple(symbol for symbols in MARKERS_OF.values() for symbol in symbols)
"""All of them, in the order of the columns of `vst_dicom.training.features.SectionSpots.markers`."""

LEAST_MARKERS: Final = 3
"""Fewest markers of a class that must vary over the spots."""

LEAST_COHERENCE: Final = 0.6
"""Least Cronbach's alpha of the markers of a class: below it they do not rise and fall together, and what they share
is noise, as that of fat markers is in a cohort without fat."""


def label_spots(markers: NDArray[np.float32]) -> NDArray[np.int8]:
    """Give each spot the tissue class whose markers stand out most.

    Every marker is standardized over the spots given, markers of a class are averaged, and the average is
    standardized again and weighted by the square root of the markers' coherence. So a class is relative: it says
    which spots of the cohort are richest in it. A spot below the mean in all classes is *other*.

    Parameters
    ----------
    markers
        Measured ln(1 + CP10k) of `MARKERS`, of all spots that are to be compared, shape ``(n_spots, n_markers)``; 0
        where a gene is absent. Without columns, where none was read, every spot is *other*.

    Returns
    -------
    NDArray[np.int8]
        Index into `vst_dicom.domain.tissue.TISSUE_CLASSES`, shape ``(n_spots,)``.

    Raises
    ------
    ValueError
        If there is not one column per marker.
    """
    if markers.ndim != 2 or markers.shape[1] not in (0, len(MARKERS)):
        msg = f"markers must have shape (n_spots, {len(MARKERS)}), not {markers.shape}"
        raise ValueError(msg)
    if not markers.size:
        return np.full(len(markers), OTHER, dtype=np.int8)
    scores = np.column_stack([_score(_of_class(markers, tissue_class)) for tissue_class in MARKERS_OF])
    labels: NDArray[np.int8] = np.array(list(MARKERS_OF), dtype=np.int8)[scores.argmax(axis=1)]
    labels[scores.max(axis=1) <= 0] = OTHER
    return labels


def _of_class(markers: NDArray[np.float32], tissue_class: int) -> NDArray[np.float64]:
    """Columns of a class that vary, standardized."""
    wanted = [MARKERS.index(symbol) for symbol in MARKERS_OF[tissue_class]]
    values = markers[:, wanted].astype(np.float64)
    sd = values.std(axis=0)
    varies = sd > 1e-6
    return np.asarray((values[:, varies] - values[:, varies].mean(axis=0)) / sd[varies])


def _score(standardized: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score of a class, shape ``(n_spots,)``; nothing at all where its markers do not go together."""
    n_markers = standardized.shape[1]
    if n_markers < LEAST_MARKERS:
        return np.full(len(standardized), -np.inf)
    total = standardized.sum(axis=1)
    variance = float(total.var())
    coherence = n_markers / (n_markers - 1) * (1 - n_markers / max(variance, 1e-12))
    if coherence < LEAST_COHERENCE:
        return np.full(len(standardized), -np.inf)
    return np.asarray(np.sqrt(coherence / variance) * total)
