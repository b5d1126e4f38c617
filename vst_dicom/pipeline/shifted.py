"""Look once more at the tissue around hotspots, on a grid that is shifted by half a tile."""

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import PixelSource
from vst_dicom.domain.result import Hotspot
from vst_dicom.domain.tiles import TileGrid
from vst_dicom.maps.gi_star import RADIUS_UM
from vst_dicom.predict.predictor import Predictor
from vst_dicom.tiles.sampler import sample_tiles


def find_near(grid: TileGrid, hotspots: Sequence[Hotspot], n_cells: int, size: MatrixSize) -> NDArray[np.int64]:
    """Tiles within some cells of any hotspot that still begin on the slide when shifted, shape ``(n,)``.

    Parameters
    ----------
    grid, hotspots
        Where tiles and hotspots lie.
    n_cells
        Rows and columns around a tile of a hotspot.
    size
        Of the base level.
    """
    near = np.zeros((grid.size.n_rows, grid.size.n_columns), dtype=np.bool_)
    for hotspot in hotspots:
        for row, column in grid.cells[hotspot.tiles]:
            near[max(row - n_cells, 0) : row + n_cells + 1, max(column - n_cells, 0) : column + n_cells + 1] = True
    begins = (_shifted_corners(grid) < (size.n_columns, size.n_rows)).all(axis=1)
    return np.flatnonzero(near[grid.cells[:, 0], grid.cells[:, 1]] & begins)


def predict_shifted(
    source: PixelSource,
    predictor: Predictor,
    grid: TileGrid,
    expression: ExpressionTable,
    hotspots: Sequence[Hotspot],
    progress: Callable[[int, int], None],
) -> ExpressionTable:
    """Predict the tiles around hotspots half a tile further down and to the right.

    Parameters
    ----------
    source
        The slide.
    predictor
        As for the first look.
    grid, expression, hotspots
        What the first look found.
    progress
        Called with tiles done and tiles in all.

    Returns
    -------
    ExpressionTable
        Genes and rows as in `expression`; far from hotspots the values are those of the first look.
    """
    spec, base = predictor.bundle.manifest.encoder, source.levels[0]
    reach = ceil(RADIUS_UM / (spec.tile_px * spec.spacing_um)) + max(spec.context) // 2
    tiles = find_near(grid, hotspots, reach, base.size)
    part = TileGrid(grid.tile_size, grid.size, grid.cells[tiles])
    batches = sample_tiles(
        source, _shifted_corners(part), grid.tile_size, tile_px=spec.tile_px, batch_size=predictor.engine.batch_size
    )
    again = predictor.predict(batches, part, progress).expression
    column_of = {gene.gene.symbol: column for column, gene in enumerate(again.genes)}
    values = expression.values.copy()
    values[tiles] = again.values[:, [column_of[gene.gene.symbol] for gene in expression.genes]]
    return ExpressionTable(expression.genes, values)


def _shifted_corners(grid: TileGrid) -> NDArray[np.int64]:
    return grid.corners_px + (grid.tile_size.n_columns // 2, grid.tile_size.n_rows // 2)
