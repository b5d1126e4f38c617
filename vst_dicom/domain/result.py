"""Everything that one run found on one slide: the single value that all result forms state."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.expression import ExpressionTable, PanelGene
from vst_dicom.domain.signature import SignatureScore
from vst_dicom.domain.tiles import TileGrid, TileQuality


@dataclass(frozen=True, slots=True)
class BundleIdentity:
    """Which model made a result.

    Parameters
    ----------
    bundle_id, version
        Name and version of the bundle.
    sha256
        Hash of its manifest, which holds the hashes of its weights.
    description
        One line: encoder, head, training cohort.
    """

    bundle_id: str
    version: str
    sha256: str
    description: str


@dataclass(frozen=True, eq=False)
class Hotspot:
    """Connected tiles where predicted expression of one gene is high relative to similar tissue of the slide.

    A hotspot is a place to look at, not a finding: nothing was measured there, and it is no mutation. It stands out
    beyond what maps of the same smoothness without any hotspot show.

    Parameters
    ----------
    number
        From 1, unique within the result.
    gene
        Whose expression.
    tiles
        Indices of its tiles, shape ``(n,)``.
    z
        Highest Gi* of a tile of it: how far the neighborhood's mean lies above that of similar tissue.
    threshold
        What Gi* had to exceed on this slide.
    mean
        Mean predicted value, in the unit of the table.
    interval
        Of the mean, from held-out patients; None where too few were held out to say.
    class_mean
        Mean predicted value of the tissue that it is compared with.
    area_mm2
        Area of its tiles.
    tissue_class
        Class of most of its tiles, index into `vst_dicom.domain.tissue.TISSUE_CLASSES`; None where tissue was not
        classified and the comparison is with all tissue of the slide.
    masked_nearby
        Fraction of the tissue in and around it that was left out for being unlike the training tissue.
    outlines_px
        Closed outer rings and holes, base level pixel *corner* coordinates x, y (the outer corner of the top left
        pixel is 0, 0), each of shape ``(n_points, 2)``, first point not repeated, the outer ring first.
    """

    number: int
    gene: PanelGene
    tiles: NDArray[np.int64]
    z: float
    threshold: float
    mean: float
    interval: tuple[float, float] | None
    class_mean: float
    area_mm2: float
    tissue_class: int | None
    masked_nearby: float
    outlines_px: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, eq=False)
class SlideResult:
    """Predictions, hotspots and quality of one slide.

    Parameters
    ----------
    key
        Hash of slide content, bundle and parameters; every UID of the result derives from it.
    created
        When the run was made, UTC; recorded once.
    grid, quality
        The tiles and what was seen in them.
    expression
        Shown genes only.
    hotspots
        Where expression is high relative to similar tissue; most genes of most slides have none.
    bundle
        Which model.
    parameters
        What the user chose, as text: optical path, focal plane, level, spacing.
    warnings
        What a reader of the result must know.
    tissue_class
        Index into `vst_dicom.domain.tissue.TISSUE_CLASSES`, shape ``(n_tiles,)``; None where the bundle has no
        classifier that held-out tissue supports.
    gi_star
        Gi* of each tile and gene, shape ``(n_tiles, n_genes)``, NaN for tiles that no hotspot was looked for in; None
        where none was looked for at all.
    signatures
        Every signature of the bundle; those that are not shown have no values.
    distance
        How unlike the training tissue each tile is, shape ``(n_tiles,)``, at most 1; None where the bundle cannot tell.
    half_width
        Of the prediction intervals, shape ``(n_tiles, n_genes)``, columns as in `expression`, in its unit; None where
        the bundle makes none.
    interval_note
        What the intervals are worth, in a sentence; empty without them.
    masked_cells
        Grid row and column of tissue without a prediction to be trusted, shape ``(n_masked, 2)``: it is in no other
        field.
    coarse
        Whether one tile of four was predicted and stands for the others, ahead of the whole result.
    computed
        By which library, in which arithmetic and on what, and what lack of memory changed of that; for people, and in
        no name.
    """

    key: str
    created: datetime
    grid: TileGrid
    quality: TileQuality
    expression: ExpressionTable
    hotspots: tuple[Hotspot, ...]
    bundle: BundleIdentity
    parameters: dict[str, str]
    warnings: tuple[str, ...]
    signatures: tuple[SignatureScore, ...] = ()
    tissue_class: NDArray[np.int8] | None = None
    gi_star: NDArray[np.float32] | None = None
    distance: NDArray[np.float32] | None = None
    half_width: NDArray[np.float32] | None = None
    interval_note: str = ""
    masked_cells: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 2), dtype=np.int32))
    coarse: bool = False
    computed: str = ""
