"""Leave out tissue whose prediction nobody should trust, and refuse a slide that has too much of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import UnfamiliarTissueError
from vst_dicom.domain.expression import PanelGene
from vst_dicom.domain.tiles import TileGrid, TileQuality
from vst_dicom.predict.members import MemberPredictions
from vst_dicom.predict.predictor import Prediction

CANNOT_TELL = "this bundle cannot tell unfamiliar tissue: nothing was masked, whatever the slide shows"


@dataclass(frozen=True, eq=False)
class Trusted:
    """What is left of a slide; rows of all arrays are the tiles of `grid`.

    Parameters
    ----------
    grid, quality
        Tiles that are kept.
    prediction
        Of these tiles.
    masked_cells
        Grid row and column of the tiles that were left out, shape ``(n_masked, 2)``.
    warnings
        What a reader of the result must know of that.
    """

    grid: TileGrid
    quality: TileQuality
    prediction: Prediction
    masked_cells: NDArray[np.int32]
    warnings: tuple[str, ...]

    def half_width_of(self, genes: Sequence[PanelGene]) -> NDArray[np.float32] | None:
        """Half widths of the intervals of some genes."""
        half_width = self.prediction.half_width
        return None if half_width is None else half_width[:, self._columns(genes)]

    def members_of(self, genes: Sequence[PanelGene]) -> MemberPredictions | None:
        """Predictions of the members for some genes."""
        members = self.prediction.members
        return None if members is None else members.of_genes(self._columns(genes))

    def _columns(self, genes: Sequence[PanelGene]) -> list[int]:
        column_of = {gene.gene.symbol: column for column, gene in enumerate(self.prediction.expression.genes)}
        return [column_of[gene.gene.symbol] for gene in genes]


def mask_untrusted(grid: TileGrid, quality: TileQuality, prediction: Prediction, refuse_share: float | None) -> Trusted:
    """Keep the tiles that look like those of the training and are in focus.

    A bundle that cannot tell unfamiliar tissue masks nothing, and the warnings say so.

    Parameters
    ----------
    grid, quality, prediction
        Of all tissue tiles.
    refuse_share
        A slide with a larger part of its tissue masked is refused; None where the bundle cannot tell.

    Raises
    ------
    UnfamiliarTissueError
        If too much of the tissue would be masked.
    """
    if prediction.distance is None or refuse_share is None:
        nothing = np.empty((0, 2), dtype=np.int32)
        return Trusted(grid, quality, replace(prediction, distance=None), nothing, (CANNOT_TELL,))
    unfamiliar = prediction.distance > 1
    masked = unfamiliar | quality.blurred
    n_tiles, n_masked = len(grid), int(masked.sum())
    n_only_blurred = n_masked - int(unfamiliar.sum())
    causes = f"{int(unfamiliar.sum())} unlike the training tissue in color, sharpness or content, "
    causes += f"{n_only_blurred} more out of focus"
    if n_masked > refuse_share * n_tiles:
        msg = (
            f"{n_masked} of {n_tiles} tissue tiles cannot be trusted ({causes}), more than the {refuse_share:.0%} that "
            f"this bundle allows; the middle tile lies at {float(np.median(prediction.distance)):.2f} of the limit. "
            "Check stain, focus and scan, or use a bundle that was trained on such slides"
        )
        raise UnfamiliarTissueError(msg)
    keep = ~masked
    warning = f"{n_masked} of {n_tiles} tiles have no values: {causes}"
    return Trusted(
        grid.subset(keep),
        quality.of_tiles(keep),
        prediction.of_tiles(keep),
        grid.cells[masked],
        (warning,) if n_masked else (),
    )
