"""From one value per tile to one map per gene."""

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.tiles import TileGrid


def rasterize(values: NDArray[np.float32], grid: TileGrid) -> NDArray[np.float32]:
    """Place one value per tile and gene on the grid of the slide.

    One tile becomes one map pixel; nothing is interpolated, so a map never shows detail that the model did not
    predict.

    Parameters
    ----------
    values
        Predicted expression, shape ``(n_tiles, n_genes)``, rows in the order of ``grid.cells``.
    grid
        Where the tiles lie.

    Returns
    -------
    NDArray[np.float32]
        Maps, shape ``(n_genes, n_rows, n_columns)``, NaN where the grid has no tile.

    Raises
    ------
    ValueError
        If `values` does not have one row per tile.
    """
    return grid.place(values, fill=np.nan)
