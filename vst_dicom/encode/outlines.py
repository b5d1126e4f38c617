"""Tiles and hotspots as outlines."""

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.expression import PanelGene
from vst_dicom.domain.geometry import SlidePlane
from vst_dicom.domain.result import Hotspot, SlideResult
from vst_dicom.domain.tiles import TileGrid


def tile_corners_px(grid: TileGrid) -> NDArray[np.float64]:
    """Corners x, y of each tile, base level pixel corner coordinates, shape ``(n_tiles * 4, 2)``.

    Top left, top right, bottom right, bottom left, tile after tile.
    """
    tile = grid.tile_size
    around = np.array([[0, 0], [tile.n_columns, 0], [tile.n_columns, tile.n_rows], [0, tile.n_rows]])
    corners: NDArray[np.float64] = (grid.corners_px[:, None, :] + around).reshape(-1, 2).astype(np.float64)
    return corners


def corners_to_slide_mm(plane: SlidePlane, corners_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions x, y, z, shape ``(n, 3)``, of pixel corner coordinates x, y, shape ``(n, 2)``."""
    return plane.to_slide_mm(corners_px[:, 0] - 0.5, corners_px[:, 1] - 0.5)


def hotspots_by_gene(result: SlideResult) -> list[tuple[PanelGene, list[Hotspot]]]:
    """Hotspots of each gene that has any, in the order in which genes first appear."""
    groups: dict[str, tuple[PanelGene, list[Hotspot]]] = {}
    for hotspot in result.hotspots:
        groups.setdefault(hotspot.gene.gene.symbol, (hotspot.gene, []))[1].append(hotspot)
    return list(groups.values())
