"""Fat: round empty cells with thin septa; stroma shows where they do not touch."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.simulate.cells import FAT_CELL_UM
from vst_dicom.simulate.noise import scatter
from vst_dicom.simulate.regions import TissueLayout
from vst_dicom.simulate.window import SUBPIXEL_BITS, Window

_REACH_UM = 4 * FAT_CELL_UM


class Adipocytes:
    """Fat cells of one slide.

    Parameters
    ----------
    seed
        Which slide.
    layout
        Where fat is.
    """

    def __init__(self, seed: int, layout: TissueLayout) -> None:
        self._seed = seed
        self._layout = layout

    def outlines_um(self, window: Window) -> list[NDArray[np.float64]]:
        """Find all fat cells that may touch the window: rounded outlines, y, x in micrometers, each ``(n, 2)``."""
        from scipy.spatial import Voronoi

        points = scatter(self._seed, "adipocytes", FAT_CELL_UM, 0.85, window.box_um(_REACH_UM))
        fields = self._layout.at(points.y_um, points.x_um)
        cells = np.flatnonzero((fields.fat > 0) & (fields.tissue > 12))
        if not len(cells):
            return []
        diagram = Voronoi(np.column_stack([points.y_um, points.x_um]))
        top, left, bottom, right = window.box_um(0)
        outlines = []
        for cell in cells.tolist():
            corners = diagram.regions[diagram.point_region[cell]]
            if -1 in corners or len(corners) < 3:
                continue
            outline = diagram.vertices[corners]
            low, high = outline.min(axis=0), outline.max(axis=0)
            if high[0] > top and high[1] > left and low[0] < bottom and low[1] < right:
                outlines.append(_rounded(outline, gap_um=0.5 + 0.9 * float(points.chance[cell, 0]) ** 2))
        return outlines

    def paint(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
        """Draw the empty insides of the fat cells and their membranes, 0 to 255 per pixel; None where no fat is."""
        outlines = self.outlines_um(window)
        if not outlines:
            return None
        polygons = [window.polygon(outline) for outline in outlines]
        inside = np.zeros((window.size.n_rows, window.size.n_columns), dtype=np.uint8)
        membrane = np.zeros_like(inside)
        cv2.fillPoly(inside, polygons, 255, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)
        thickness = max(1, round(0.8 / float(np.sqrt(window.spacing.row_um * window.spacing.column_um))))
        cv2.polylines(membrane, polygons, True, 255, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
        return inside, membrane


def _rounded(corners: NDArray[np.float64], gap_um: float) -> NDArray[np.float64]:
    """Cut the corners of a polygon three times and pull it away from its neighbors."""
    for _ in range(3):
        following = np.roll(corners, -1, axis=0)
        corners = np.stack([0.77 * corners + 0.23 * following, 0.23 * corners + 0.77 * following], axis=1).reshape(
            -1, 2
        )
    middle = corners.mean(axis=0)
    radius = np.hypot(*(corners - middle).T).mean()
    rounded: NDArray[np.float64] = middle + (corners - middle) * (1 - gap_um / radius)
    return rounded
