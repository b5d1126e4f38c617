"""Paints a window of the slide: how much hematoxylin and eosin lies at each pixel."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.simulate import nuclei
from vst_dicom.simulate.cells import (
    cellularity_of,
    inflammation_of,
    lymphocyte_chance,
    scatter_lymphocytes,
    scatter_spindles,
    spindle_chance,
)
from vst_dicom.simulate.fat import Adipocytes
from vst_dicom.simulate.noise import SmoothNoise, make_rng
from vst_dicom.simulate.regions import RegionFields, TissueLayout
from vst_dicom.simulate.stain import DyeAmount
from vst_dicom.simulate.stroma import Stroma
from vst_dicom.simulate.tumor import Tumor
from vst_dicom.simulate.vessels import Vessels
from vst_dicom.simulate.window import LARGEST_PX, LatticeLookup, Window

Plane = NDArray[np.float32]

MARGIN_UM = 24.0
"""Nothing that is painted reaches further than this from the place that decides about it (fat cells apart)."""

_GRAIN_PX = 512


class TissuePainter:
    """Everything about the tissue of one slide that does not depend on the window.

    Parameters
    ----------
    seed
        Which slide.
    layout
        Where the regions are.
    spacing
        Distance between pixels.
    dyes
        How well the slide took the dyes.
    """

    def __init__(self, seed: int, layout: TissueLayout, spacing: PixelSpacing, dyes: DyeAmount) -> None:
        self._seed = seed
        self._layout = layout
        self._dyes = dyes
        self._stroma = Stroma(seed, spacing)
        self._tumor = Tumor(seed, spacing)
        self._fat = Adipocytes(seed, layout)
        self._vessels = Vessels(seed, layout, spacing)
        self._lymphocyte_stamps = nuclei.stamp_book(nuclei.LYMPHOCYTE, spacing)
        self._spindle_stamps = nuclei.stamp_book(nuclei.SPINDLE, spacing)
        self._cellularity = cellularity_of(seed)
        self._inflammation = inflammation_of(seed)
        self._ground = SmoothNoise(seed, "ground substance", 90)
        self._thickness = (SmoothNoise(seed, "thickness", 900), SmoothNoise(seed, "thickness fine", 160))
        grain = make_rng(seed, "grain").standard_normal((_GRAIN_PX, _GRAIN_PX)).astype(np.float32)
        smooth = cv2.GaussianBlur(np.pad(grain, 8, mode="wrap"), (0, 0), 0.7)[8:-8, 8:-8]
        self._grain = np.pad(1 + np.float32(0.22) * smooth, (0, LARGEST_PX), mode="wrap")
        self._hue = SmoothNoise(seed, "hue", 1300)

    def paint(self, window: Window) -> tuple[Plane, Plane] | None:
        """Hematoxylin and eosin of each pixel of the window; None where it is all glass."""
        if self._layout.is_surely_glass(window.box_um(0)):
            return None
        fields = self._layout.on_grid(window.y_um(), window.x_um())
        if fields.tissue.max() < -2:
            return None
        directions = self._stroma.directions(window, fields)
        eosin = self._stroma.eosin(window, directions)
        hematoxylin = self._color_ground(window, fields, eosin)
        cells = self._tumor.cells(window, fields) if fields.tumor.max() > -14 else None
        if cells is not None:
            self._tumor.paint(window, cells, hematoxylin, eosin)
        hematoxylin, eosin = window.enlarge(hematoxylin), window.enlarge(eosin)
        empty = self._paint_fat(window, fields, hematoxylin, eosin)
        chromatin = np.zeros_like(eosin)
        hollow = self._vessels.paint(window, hematoxylin, eosin, chromatin)
        if hollow is not None:
            empty = hollow if empty is None else np.maximum(empty, hollow)
        if cells is not None:
            self._tumor.press(cells, chromatin)
        self._press_spindles(window, fields, directions, chromatin, empty)
        self._press_lymphocytes(window, fields, chromatin, empty)
        self._add_grain(window, hematoxylin, eosin)
        nucleus = np.minimum(chromatin * np.float32(2.6), np.float32(1))
        hematoxylin *= 1 - nucleus
        hematoxylin += chromatin
        nucleus *= np.float32(-0.65)
        nucleus += 1
        eosin *= nucleus
        self._finish(window, fields, hematoxylin, eosin)
        return hematoxylin, eosin

    def _color_ground(self, window: Window, fields: RegionFields, eosin: Plane) -> Plane:
        """Hematoxylin between the cells on the fine lattice; lymphoid tissue is less pink, changed in `eosin`."""
        y, x = window.y_um(), window.x_um()
        step = window.fine_step_px
        ground = np.clip(0.012 + 0.022 * self._ground.on_grid(y, x), 0, None)
        weight = np.clip(fields.lymphoid / 16 + 0.5, 0, 1) * (fields.fat <= 0)
        hematoxylin = window.enlarge(ground + np.float32(0.10) * weight, step)
        hematoxylin += eosin * np.float32(0.10)
        if weight.any():
            eosin *= 1 - np.float32(0.4) * window.enlarge(weight, step)
        return hematoxylin

    def _paint_fat(
        self, window: Window, fields: RegionFields, hematoxylin: Plane, eosin: Plane
    ) -> NDArray[np.uint8] | None:
        """Empty the fat cells and draw their membranes; says where they are empty, 0 to 255."""
        fat = self._fat.paint(window) if fields.fat.max() > -150 else None
        if fat is None:
            return None
        empty, membrane = fat
        rest = (255 - empty).astype(np.float32) * np.float32(1 / 255)
        hematoxylin *= rest
        eosin *= rest
        eosin += (1 - rest) * np.float32(0.012)
        eosin += membrane.astype(np.float32) * np.float32(0.17 / 255)
        return empty

    def _press_spindles(
        self,
        window: Window,
        fields: RegionFields,
        directions: Plane,
        chromatin: Plane,
        empty: NDArray[np.uint8] | None,
    ) -> None:
        points = scatter_spindles(self._seed, window.box_um(0))
        rows, columns = window.pixels(points.y_um, points.x_um)
        keep = window.inside(rows, columns)
        at = LatticeLookup(rows, columns, keep)
        cellularity = at(self._cellularity.on_grid(window.y_um(), window.x_um()))
        keep &= points.chance[:, 1] < spindle_chance(fields.read(at), cellularity)
        _keep_solid(keep, rows, columns, empty)
        spindles = self._spindle_stamps.choose(points.chance[keep, 0], at(directions)[keep])
        nuclei.press(chromatin, rows[keep], columns[keep], spindles)

    def _press_lymphocytes(
        self, window: Window, fields: RegionFields, chromatin: Plane, empty: NDArray[np.uint8] | None
    ) -> None:
        points = scatter_lymphocytes(self._seed, window.box_um(0))
        rows, columns = window.pixels(points.y_um, points.x_um)
        keep = window.inside(rows, columns)
        at = LatticeLookup(rows, columns, keep)
        inflammation = at(self._inflammation.on_grid(window.y_um(), window.x_um()))
        keep &= points.chance[:, 1] < lymphocyte_chance(fields.read(at), inflammation)
        _keep_solid(keep, rows, columns, empty)
        stamps = self._lymphocyte_stamps.choose(points.chance[keep, 0])
        nuclei.press(chromatin, rows[keep], columns[keep], stamps)

    def _add_grain(self, window: Window, *planes: Plane) -> None:
        """Roughen what lies between the nuclei, pixel by pixel, in place."""
        top, left = window.top % _GRAIN_PX, window.left % _GRAIN_PX
        grain = self._grain[top : top + window.size.n_rows, left : left + window.size.n_columns]
        for plane in planes:
            np.multiply(plane, grain, out=plane)

    def _finish(self, window: Window, fields: RegionFields, hematoxylin: Plane, eosin: Plane) -> None:
        """Cut the edge of the tissue and vary the thickness of the section and the strength of the dyes."""
        y, x = window.y_um(), window.x_um()
        thickness = 1 + 0.07 * self._thickness[0].on_grid(y, x) + 0.05 * self._thickness[1].on_grid(y, x)
        thickness += 0.25 * np.exp(-((fields.tissue / 9) ** 2))
        hue = 0.05 * self._hue.on_grid(y, x)
        cut = np.clip(window.enlarge(fields.tissue) / np.float32(1.6) + 0.5, 0, 1) if fields.tissue.min() < 12 else None
        for plane, dye, shift in ((hematoxylin, self._dyes.hematoxylin, hue), (eosin, self._dyes.eosin, -hue)):
            strength = window.enlarge((np.clip(thickness + shift, 0.4, 1.8) * dye).astype(np.float32))
            if cut is not None:
                strength *= cut
            np.multiply(plane, strength, out=plane)


def _keep_solid(
    keep: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64], empty: NDArray[np.uint8] | None
) -> None:
    """Drop the points that lie in fat cells or vessels, in place."""
    if empty is not None:
        keep[keep] = empty[rows[keep], columns[keep]] < 40
