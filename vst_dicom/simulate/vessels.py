"""Small blood vessels in the stroma: a wall, flat nuclei along it, red cells inside."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.simulate import nuclei
from vst_dicom.simulate.noise import make_rng, scatter
from vst_dicom.simulate.regions import TissueLayout
from vst_dicom.simulate.window import SUBPIXEL_BITS, Window

_EVERY_UM = 150.0
_LARGEST_UM = 30.0
_REACH_UM = _LARGEST_UM + 16
_RED_CELL_UM = 6.2


@dataclass(frozen=True, eq=False)
class Vessel:
    """A vessel cut across.

    Parameters
    ----------
    outline_um
        Inner side of the wall, y, x, shape ``(n, 2)``.
    wall_um
        Thickness of the wall.
    fullness
        Which part of it is full of red cells.
    """

    outline_um: NDArray[np.float64]
    wall_um: float
    fullness: float


class Vessels:
    """Vessels of one slide.

    Parameters
    ----------
    seed
        Which slide.
    layout
        Where the stroma is.
    spacing
        Distance between pixels.
    """

    def __init__(self, seed: int, layout: TissueLayout, spacing: PixelSpacing) -> None:
        self._seed = seed
        self._layout = layout
        self._pixel_um = float(np.sqrt(spacing.row_um * spacing.column_um))
        self._red_cells = nuclei.stamp_book(nuclei.RED_CELL, spacing)
        self._flat = nuclei.stamp_book(nuclei.ENDOTHELIUM, spacing)

    def near(self, window: Window) -> list[Vessel]:
        """All vessels that may touch the window."""
        points = scatter(self._seed, "vessels", _EVERY_UM, 0.9, window.box_um(_REACH_UM))
        fields = self._layout.at(points.y_um, points.x_um)
        room_um = np.minimum(-fields.tumor, fields.tissue / 2) - 8
        room_um = np.minimum(room_um, np.minimum(-fields.lymphoid, -fields.fat) - 8)
        radius_um = np.minimum(3.5 + (_LARGEST_UM - 3.5) * points.chance[:, 0] ** 4, room_um)
        found = np.flatnonzero((radius_um > 3) & (points.chance[:, 1] < 0.62))
        return [
            self._shape(points.y_um[i], points.x_um[i], float(radius_um[i]), points.chance[i]) for i in found.tolist()
        ]

    def paint(
        self,
        window: Window,
        hematoxylin: NDArray[np.float32],
        eosin: NDArray[np.float32],
        chromatin: NDArray[np.float32],
    ) -> NDArray[np.uint8] | None:
        """Draw the vessels in place; says where they are hollow, 0 to 255, None where no vessel is."""
        vessels = self.near(window)
        if not vessels:
            return None
        hollow = np.zeros(eosin.shape, dtype=np.uint8)
        wall = np.zeros(eosin.shape, dtype=np.uint8)
        full = np.zeros(eosin.shape, dtype=np.uint8)
        for vessel in vessels:
            outline = [window.polygon(vessel.outline_um)]
            thickness = max(1, round(2 * vessel.wall_um / self._pixel_um))
            cv2.polylines(wall, outline, True, 255, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
            cv2.fillPoly(hollow, outline, 255, cv2.LINE_AA, SUBPIXEL_BITS)
            cv2.fillPoly(full, outline, round(255 * vessel.fullness), cv2.LINE_8, SUBPIXEL_BITS)
            self._press_endothelium(window, vessel, chromatin)
        rest = (255 - hollow).astype(np.float32) * np.float32(1 / 255)
        hematoxylin *= rest
        eosin *= rest
        eosin += (1 - rest) * np.float32(0.02)
        eosin += wall.astype(np.float32) * np.float32(0.17 / 255)
        points = scatter(self._seed, "red cells", _RED_CELL_UM, 0.7, window.box_um(0))
        rows, columns = window.pixels(points.y_um, points.x_um)
        keep = window.inside(rows, columns)
        keep[keep] = full[rows[keep], columns[keep]] > 255 * points.chance[keep, 1]
        nuclei.press(eosin, rows[keep], columns[keep], self._red_cells.choose(points.chance[keep, 0]))
        return np.maximum(hollow, wall)

    def _shape(self, y_um: float, x_um: float, radius_um: float, chance: NDArray[np.float64]) -> Vessel:
        rng = make_rng(self._seed, f"vessel {y_um:.6f} {x_um:.6f}")
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        along, across = radius_um * np.cos(turn), radius_um * rng.uniform(0.35, 0.9) * np.sin(turn)
        dent = 1 + sum(rng.normal(0, 0.05) * np.cos(wave * turn + rng.uniform(0, 6)) for wave in (2, 3, 4))
        angle = np.pi * float(chance[2])
        y = y_um + dent * (along * np.sin(angle) + across * np.cos(angle))
        x = x_um + dent * (along * np.cos(angle) - across * np.sin(angle))
        fullness = float(np.clip(1.6 * chance[3] - 0.4, 0, 0.97))
        return Vessel(np.column_stack([y, x]), 0.8 + 0.13 * radius_um * rng.uniform(0.4, 1.4), fullness)

    def _press_endothelium(self, window: Window, vessel: Vessel, chromatin: NDArray[np.float32]) -> None:
        outline = vessel.outline_um
        sides = np.roll(outline, -1, axis=0) - outline
        every_um = 13.0
        walked = np.cumsum(np.hypot(*sides.T))
        first = np.searchsorted(walked, np.arange(every_um / 2, walked[-1], every_um))
        rows, columns = window.pixels(outline[first, 0], outline[first, 1])
        direction = np.arctan2(sides[first, 0], sides[first, 1])
        chance = make_rng(self._seed, f"endothelium {outline[0, 0]:.6f} {outline[0, 1]:.6f}").random(len(first))
        nuclei.press(chromatin, rows, columns, self._flat.choose(chance, direction))
