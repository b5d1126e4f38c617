"""Where the slide's own highest predictions of a gene lie together."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from shapely import box, union_all

from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.result import Region
from vst_dicom.domain.tiles import TileGrid
from vst_dicom.maps.rasterize import rasterize

TOP_FRACTION: Final = 0.05
"""Part of the tiles that may belong to the regions of a gene."""

LEAST_TILES: Final = 5
"""Smallest region, in tiles: 0.063 mm² at 112 µm."""


MOST_REGIONS: Final = 10
"""Regions per gene at most, the largest; more would be noise to the eye."""


def find_top_regions(
    expression: ExpressionTable, grid: TileGrid, usable: NDArray[np.bool_], spacing: PixelSpacing
) -> tuple[Region, ...]:
    """Group the tiles with the highest predictions of each gene.

    A tile belongs when it is among the highest `TOP_FRACTION` of the slide's usable tiles; tiles that share a side
    form a region when they are at least `LEAST_TILES`. Every slide has highest tiles: a region is a place to look
    at, and says nothing about other slides.

    Parameters
    ----------
    expression
        Predictions, rows in the order of ``grid.cells``.
    grid
        Where the tiles lie.
    usable
        Tiles that quality checks passed, shape ``(n_tiles,)``.
    spacing
        Of the base level.

    Returns
    -------
    tuple[Region, ...]
        Numbered from 1, genes in the order of the table, the largest region of a gene first.
    """
    tile_area_mm2 = spacing.row_mm * grid.tile_size.n_rows * spacing.column_mm * grid.tile_size.n_columns
    tile_at = np.full((grid.size.n_rows, grid.size.n_columns), -1, dtype=np.int64)
    tile_at[grid.cells[:, 0], grid.cells[:, 1]] = np.arange(len(grid))
    maps = rasterize(np.where(usable[:, None], expression.values, np.nan).astype(np.float32), grid)
    regions: list[Region] = []
    if usable.sum() < LEAST_TILES / TOP_FRACTION:
        return ()
    for gene, gene_map in zip(expression.genes, maps, strict=True):
        values = gene_map[np.isfinite(gene_map)]
        threshold = float(np.quantile(values, 1 - TOP_FRACTION))
        if threshold >= values.max() or threshold <= values.min():
            continue
        labels, n_labels = ndimage.label(np.nan_to_num(gene_map, nan=-np.inf) >= threshold)
        pieces = [tile_at[labels == label] for label in range(1, n_labels + 1)]
        large = [piece for piece in pieces if len(piece) >= LEAST_TILES]
        for tiles in sorted(large, key=lambda piece: (-len(piece), piece[0]))[:MOST_REGIONS]:
            column = expression.values[tiles, expression.genes.index(gene)]
            regions.append(
                Region(
                    number=len(regions) + 1,
                    gene=gene,
                    tiles=np.sort(tiles),
                    threshold=threshold,
                    mean=float(column.mean()),
                    area_mm2=len(tiles) * tile_area_mm2,
                    outlines_px=outline_tiles(grid, tiles),
                )
            )
    return tuple(regions)


def outline_tiles(grid: TileGrid, tiles: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Outer ring, then holes, of tiles that share sides, along the edges of the tiles.

    Returns
    -------
    tuple[NDArray[np.float64], ...]
        Base level pixel corner coordinates x, y, each of shape ``(n_points, 2)``, first point not repeated.
    """
    corners = grid.corners_px[tiles].astype(np.float64)
    far = corners + (grid.tile_size.n_columns, grid.tile_size.n_rows)
    shape = union_all(box(*corners.T, *far.T)).normalize().simplify(0)
    return tuple(np.asarray(ring.coords)[:-1] for ring in (shape.exterior, *shape.interiors))
