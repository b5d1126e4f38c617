"""Lay the grid of tiles over a slide."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import PixelSpacingError, TissueError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import Level
from vst_dicom.domain.tiles import TileGrid
from vst_dicom.tiles.tissue import TissueMask

TILE_UM: Final = 112.0
"""Side of a tile: 224 pixels at 0.5 µm, the field that published models of this kind use."""

LEAST_TISSUE: Final = 0.5
"""A tile is predicted when at least this part of it is tissue."""


def check_spacing(spacing: PixelSpacing, coarsest_um: float, advised_um: float) -> tuple[str, ...]:
    """Refuse a slide too coarse for the model, and warn of one that is nearly so.

    Parameters
    ----------
    spacing
        Of the base level.
    coarsest_um
        Refused above, in micrometers per pixel.
    advised_um
        Warned of above.

    Returns
    -------
    tuple[str, ...]
        Warnings, possibly none.

    Raises
    ------
    PixelSpacingError
        If either direction is coarser than allowed.
    """
    worst = max(spacing.row_um, spacing.column_um)
    if worst > coarsest_um:
        msg = (
            f"the slide's finest level has {worst:.3g} µm per pixel; this model needs {coarsest_um:g} or finer. "
            "Send the full-resolution level, or scan at 20x or more"
        )
        raise PixelSpacingError(msg)
    if worst > advised_um:
        return (f"pixel spacing {worst:.3g} µm is coarser than {advised_um:g} µm: tiles were enlarged, less detail",)
    return ()


def tile_size_px(spacing: PixelSpacing, tile_um: float = TILE_UM) -> MatrixSize:
    """Rows and columns of a tile in base level pixels, rounded to whole pixels."""
    return MatrixSize(max(1, round(tile_um / spacing.row_um)), max(1, round(tile_um / spacing.column_um)))


def lay_grid(base: Level, tissue: TissueMask, tile_um: float = TILE_UM) -> tuple[TileGrid, NDArray[np.float32]]:
    """Cover the tissue with tiles that neither overlap nor leave gaps.

    Parameters
    ----------
    base
        Base level of the slide.
    tissue
        Where its tissue lies.
    tile_um
        Wanted side of a tile, in micrometers.

    Returns
    -------
    tuple[TileGrid, NDArray[np.float32]]
        The grid, and the part of each tile that is tissue, shape ``(n_tiles,)``.

    Raises
    ------
    TissueError
        If no tile holds enough tissue.
    """
    tile = tile_size_px(base.spacing, tile_um)
    size = base.size.divided_by(tile)
    rows, columns = np.divmod(np.arange(size.n_rows * size.n_columns, dtype=np.int64), size.n_columns)
    fraction = tissue.fraction(np.stack([columns * tile.n_columns, rows * tile.n_rows], axis=1), tile)
    keep = fraction >= LEAST_TISSUE
    if not keep.any():
        msg = f"no piece of {tile_um:g} µm on the slide is at least {LEAST_TISSUE:.0%} tissue; nothing can be predicted"
        raise TissueError(msg)
    return TileGrid(tile, size, np.stack([rows, columns], axis=1)[keep].astype(np.int32)), fraction[keep]
