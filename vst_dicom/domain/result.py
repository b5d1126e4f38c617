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
class Region:
    """Connected tiles with the highest predicted expression of one gene on this slide.

    A region is a place to look at, not a finding: it says where the slide's own highest predictions lie.

    Parameters
    ----------
    number
        From 1, unique within the result.
    gene
        Whose expression.
    tiles
        Indices of its tiles, shape ``(n,)``.
    threshold
        Least value of a tile of the region, in the unit of the table.
    mean
        Mean predicted value.
    area_mm2
        Area of its tiles.
    outlines_px
        Closed outer rings and holes, base level pixel *corner* coordinates x, y (the outer corner of the top left
        pixel is 0, 0), each of shape ``(n_points, 2)``, first point not repeated, the outer ring first.
    """

    number: int
    gene: PanelGene
    tiles: NDArray[np.int64]
    threshold: float
    mean: float
    area_mm2: float
    outlines_px: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, eq=False)
class SlideResult:
    """Predictions, regions and quality of one slide.

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
    regions
        Top regions.
    bundle
        Which model.
    parameters
        What the user chose, as text: optical path, focal plane, level, spacing.
    warnings
        What a reader of the result must know.
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
    """

    key: str
    created: datetime
    grid: TileGrid
    quality: TileQuality
    expression: ExpressionTable
    regions: tuple[Region, ...]
    bundle: BundleIdentity
    parameters: dict[str, str]
    warnings: tuple[str, ...]
    signatures: tuple[SignatureScore, ...] = ()
    distance: NDArray[np.float32] | None = None
    half_width: NDArray[np.float32] | None = None
    interval_note: str = ""
    masked_cells: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 2), dtype=np.int32))
