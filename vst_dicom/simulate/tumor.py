"""Tumor nests: cells that touch each other, each with a nucleus, sometimes around a lumen."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.simulate import nuclei
from vst_dicom.simulate.cells import Glands, holds_tumor_cell, scatter_tumor
from vst_dicom.simulate.noise import SmoothNoise
from vst_dicom.simulate.regions import RegionFields
from vst_dicom.simulate.window import LatticeLookup, Window

_RADIUS_UM = 9.8


@dataclass(frozen=True, eq=False)
class TumorCells:
    """The tumor cells of a window.

    Parameters
    ----------
    rows, columns
        Pixels of their nuclei, counted from the window's corner, shape ``(n,)``.
    chance
        Random numbers of each, shape ``(n, 4)``.
    lumen_um
        Depth in a lumen on the coarse lattice, negative outside.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    chance: NDArray[np.float64]
    lumen_um: NDArray[np.floating]


class Tumor:
    """Tumor of one slide.

    Parameters
    ----------
    seed
        Which slide.
    spacing
        Distance between pixels.
    """

    def __init__(self, seed: int, spacing: PixelSpacing) -> None:
        self._seed = seed
        self._pixel_um = float(np.sqrt(spacing.row_um * spacing.column_um))
        self._stamps = nuclei.stamp_book(nuclei.TUMOR, spacing)
        self._glands = Glands(seed)
        self._grain = (SmoothNoise(seed, "cytoplasm", 3.5), SmoothNoise(seed, "cytoplasm tone", 60))
        self._retraction = SmoothNoise(seed, "retraction", 110)

    def cells(self, window: Window, fields: RegionFields) -> TumorCells | None:
        """Place the cells; None where there are none."""
        y, x = window.y_um(), window.x_um()
        lumen = self._glands.depth_um(fields, lambda noise: noise.on_grid(y, x))
        points = scatter_tumor(self._seed, window.box_um(0))
        rows, columns = window.pixels(points.y_um, points.x_um)
        keep = window.inside(rows, columns)
        at = LatticeLookup(rows, columns, keep)
        keep &= holds_tumor_cell(fields.read(at), at(lumen))
        return TumorCells(rows[keep], columns[keep], points.chance[keep], lumen) if keep.any() else None

    def paint(
        self, window: Window, cells: TumorCells, hematoxylin: NDArray[np.float32], eosin: NDArray[np.float32]
    ) -> None:
        """Replace what lies under the cells by cytoplasm, on the fine lattice, in place."""
        y, x = window.y_um(), window.x_um()
        step = window.fine_step_px
        rows, columns = cells.rows // step, cells.columns // step
        seeds = np.full(eosin.shape, 255, dtype=np.uint8)
        seeds[rows, columns] = 0
        distance, owner = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        tone = np.zeros(int(owner[rows, columns].max()) + 1, dtype=np.float32)
        tone[owner[rows, columns]] = 0.21 + 0.13 * cells.chance[:, 1]
        grain = self._grain[0].on_grid(window.y_um(step), window.x_um(step))
        distance *= np.float32(self._pixel_um * step)
        distance += np.float32(0.45) * grain
        body = np.clip((_RADIUS_UM - distance) / np.float32(1.3) + 0.5, 0, 1)
        cleft = np.clip(1 - np.abs(distance - (_RADIUS_UM + 2)) / np.float32(2.4), 0, 1)
        cleft *= window.enlarge(np.clip(0.5 * self._retraction.on_grid(y, x) + 0.1, 0, 0.75), step)
        border = np.zeros(eosin.shape, dtype=np.float32)
        border[:, 1:] = owner[:, 1:] != owner[:, :-1]
        border[1:] += owner[1:] != owner[:-1]
        cytoplasm = tone[owner]
        cytoplasm *= 1 - np.float32(0.16) * cv2.GaussianBlur(border, (3, 3), 0.6)
        cytoplasm += window.enlarge(0.035 * self._grain[1].on_grid(y, x), step)
        grain *= np.float32(0.022)
        cytoplasm += grain
        outside = 1 - body
        outside *= 1 - np.maximum(cleft, window.enlarge(np.clip(cells.lumen_um / 6 + 0.6, 0, 0.96), step))
        eosin *= outside
        eosin += body * cytoplasm
        hematoxylin *= outside
        hematoxylin += body * (np.float32(0.17) + grain)

    def press(self, cells: TumorCells, chromatin: NDArray[np.float32]) -> None:
        """Press the nuclei onto the pixels of the window."""
        nuclei.press(chromatin, cells.rows, cells.columns, self._stamps.choose(cells.chance[:, 0]))
