"""Connective tissue: wavy bundles of collagen that run around the tumor nests, with clefts between them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.simulate.noise import SmoothNoise, make_rng
from vst_dicom.simulate.regions import RegionFields
from vst_dicom.simulate.window import LARGEST_PX, Window, choose_fine_step

_TILE = 512
_STRIDES_UM = (1.3, 3.9, 9.5)
"""Each stride spreads what the ones before it made; together fibers reach 15 µm to both sides, less than a margin."""

_CRIMP_UM = 31.0


class Stroma:
    """Collagen of one slide: random grains, smeared along a field of directions (line integral convolution).

    Parameters
    ----------
    seed
        Which slide.
    spacing
        Distance between pixels.
    """

    def __init__(self, seed: int, spacing: PixelSpacing) -> None:
        rng = make_rng(seed, "stroma")
        step = choose_fine_step(spacing)
        self._spacing = spacing.scaled(step, step)
        self._angle = float(rng.uniform(0, np.pi))
        self._turns = (SmoothNoise(seed, "fiber turns", 330), SmoothNoise(seed, "fiber bends", 75))
        self._crimp = (SmoothNoise(seed, "crimp", 110), SmoothNoise(seed, "crimp strength", 240))
        self._density = (SmoothNoise(seed, "collagen", 190), SmoothNoise(seed, "collagen bundles", 36))
        self._looseness = SmoothNoise(seed, "looseness", 120)
        self._grains = self._draw_grains(rng)
        zeros = np.zeros((_TILE, _TILE), dtype=np.float32)
        sample = self._smear(self._grains, zeros, zeros + 1)[32:-32, 32:-32]
        reach = LARGEST_PX // step
        self._grains = np.pad(self._grains / sample.std(axis=(0, 1)), ((0, reach), (0, reach), (0, 0)), mode="wrap")

    def directions(self, window: Window, fields: RegionFields) -> NDArray[np.float32]:
        """Angle of the fibers from the x axis towards y on the coarse lattice, in radians, from -π/2 to π/2."""
        y, x = window.y_um(), window.x_um()
        along = (y[:, None] * np.sin(self._angle) + x[None, :] * np.cos(self._angle)).astype(np.float32)
        wave = np.sin(along * np.float32(2 * np.pi / _CRIMP_UM) + 3 * self._crimp[0].on_grid(y, x))
        angle = np.float32(self._angle) + 0.75 * self._turns[0].on_grid(y, x) + 0.3 * self._turns[1].on_grid(y, x)
        angle += np.clip(0.42 + 0.25 * self._crimp[1].on_grid(y, x), 0.02, 0.9) * wave
        slope_y, slope_x = np.gradient(fields.tumor)
        around = np.arctan2(-slope_x / window.spacing.column_um, slope_y / window.spacing.row_um)
        pull = np.exp(-((np.minimum(fields.tumor, 0) / 38) ** 2)) * np.float32(0.85)
        sine = (1 - pull) * np.sin(2 * angle) + pull * np.sin(2 * around)
        cosine = (1 - pull) * np.cos(2 * angle) + pull * np.cos(2 * around)
        direction: NDArray[np.float32] = np.arctan2(sine, cosine) / 2
        return direction

    def eosin(self, window: Window, directions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Eosin on the fine lattice, as if the whole window were stroma."""
        y, x = window.y_um(), window.x_um()
        step = window.fine_step_px
        top, left = window.top // step % _TILE, window.left // step % _TILE
        grains = self._grains[top : top + window.size.n_rows // step, left : left + window.size.n_columns // step]
        sine, cosine = (window.enlarge(trig(2 * directions), step) for trig in (np.sin, np.cos))
        cosine /= np.hypot(sine, cosine) + np.float32(1e-6)
        along_y, along_x = np.sqrt((1 - cosine) / 2), np.sqrt((1 + cosine) / 2)  # of half the angle
        bundles, fibrils = cv2.split(self._smear(grains, np.copysign(along_y, sine), along_x))
        density = 0.235 + 0.05 * self._density[0].on_grid(y, x) + 0.04 * self._density[1].on_grid(y, x)
        eosin = window.enlarge(density, step)
        eosin += 0.035 * bundles
        eosin += 0.042 * fibrils
        looseness = window.enlarge(1.75 - 0.55 * self._looseness.on_grid(y, x), step)
        gap = (0.85 * bundles + 0.5 * fibrils + looseness) * np.float32(1.5)
        eosin *= np.clip(gap, 0.07, 1)
        return np.maximum(eosin, np.float32(0.01))

    def _draw_grains(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Make a periodic tile of coarse and of fine random grains, shape ``(rows, columns, 2)``."""
        planes = []
        for size_um in (1.7, 0.6):
            grain = rng.standard_normal((_TILE, _TILE)).astype(np.float32)
            wrapped = np.pad(grain, 32, mode="wrap")
            sigma = (size_um / self._spacing.column_um, size_um / self._spacing.row_um)
            planes.append(cv2.GaussianBlur(wrapped, (0, 0), sigma[0], sigmaY=sigma[1])[32:-32, 32:-32])
        return np.stack(planes, axis=2)

    def _smear(
        self, grains: NDArray[np.float32], along_y: NDArray[np.float32], along_x: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Average the grains along unit vectors; the same either way along a fiber."""
        rows, columns = (np.arange(n, dtype=np.float32) for n in along_y.shape)
        for stride_um in _STRIDES_UM:
            step_y = along_y * np.float32(stride_um / self._spacing.row_um)
            step_x = along_x * np.float32(stride_um / self._spacing.column_um)
            total = grains.copy()
            for way in (np.add, np.subtract):
                place_y, place_x = way(rows[:, None], step_y), way(columns[None, :], step_x)
                total += cv2.remap(grains, place_x, place_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            grains = total
        return grains
