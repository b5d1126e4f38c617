"""Nuclei: small stamps of hematoxylin, many variants of each kind, and the way they are pressed onto the slide."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.simulate.noise import make_rng

Stamp = NDArray[np.float32]
"""Units of hematoxylin, shape ``(n_rows, n_columns)``, odd counts, 0 outside the nucleus."""

_FINE_UM = 0.25


@dataclass(frozen=True, slots=True)
class NucleusKind:
    """How the nuclei of one kind of cell look; pairs are the smallest and the largest value.

    Parameters
    ----------
    length_um, width_um
        Diameters.
    irregularity
        How far the outline leaves an ellipse, as a part of the radius.
    dye
        Hematoxylin in the middle of the nucleus.
    clumping
        Strength of the chromatin's texture, relative to `dye`.
    clump_um
        Size of its clumps.
    rim
        How much darker the nuclear membrane is, relative to `dye`.
    nucleoli
        Mean number of nucleoli.
    n_variants
        How many stamps of each orientation.
    n_orientations
        Steps of the direction over half a turn; 1 means any direction by chance.
    """

    length_um: tuple[float, float]
    width_um: tuple[float, float]
    irregularity: float
    dye: tuple[float, float]
    clumping: float
    clump_um: float
    rim: float
    nucleoli: float
    n_variants: int
    n_orientations: int = 1


TUMOR = NucleusKind((8.0, 15.5), (6.5, 11.0), 0.08, (0.36, 0.92), 0.22, 0.8, 0.26, 0.9, 200)
LYMPHOCYTE = NucleusKind((5.4, 8.0), (5.0, 6.9), 0.06, (0.72, 1.25), 0.24, 0.9, 0.12, 0.0, 100)
SPINDLE = NucleusKind((7.0, 21.0), (1.6, 5.0), 0.12, (0.42, 1.15), 0.20, 0.9, 0.12, 0.1, 14, 18)
ENDOTHELIUM = NucleusKind((6.0, 11.0), (1.6, 2.8), 0.06, (0.6, 1.1), 0.15, 0.9, 0.05, 0.0, 6, 18)
RED_CELL = NucleusKind((5.6, 7.2), (5.0, 6.6), 0.05, (0.36, 0.46), 0.03, 1.5, 0.12, 0.0, 24)
"""Not a nucleus, but pressed in the same way, with eosin."""


class StampBook:
    """All stamps of one kind at one pixel spacing; they are the same for all slides, see `stamp_book`.

    Parameters
    ----------
    kind
        What they show.
    spacing
        Distance between pixels of the slide.
    """

    def __init__(self, kind: NucleusKind, spacing: PixelSpacing) -> None:
        rng = make_rng(0, repr(kind))
        self._kind = kind
        self._stamps = [
            _shrink(_draw(kind, _direction(kind, orientation, rng), rng), spacing)
            for orientation in range(kind.n_orientations)
            for _ in range(kind.n_variants)
        ]

    def choose(self, chance: NDArray[np.float64], direction: NDArray[np.float64] | None = None) -> list[Stamp]:
        """Take a stamp for each nucleus.

        Parameters
        ----------
        chance
            Uniform numbers, shape ``(n,)``.
        direction
            Angle of the long axis from the x axis towards y, in radians, shape ``(n,)``; None means any.
        """
        variant = np.minimum((chance * self._kind.n_variants).astype(np.int64), self._kind.n_variants - 1)
        if direction is not None:
            n = self._kind.n_orientations
            variant += self._kind.n_variants * (np.rint(direction / np.pi * n).astype(np.int64) % n)
        return [self._stamps[index] for index in variant.tolist()]


@lru_cache(maxsize=20)
def stamp_book(kind: NucleusKind, spacing: PixelSpacing) -> StampBook:
    """Draw the stamps of one kind at one pixel spacing, once."""
    return StampBook(kind, spacing)


def press(
    plane: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64], stamps: Sequence[Stamp]
) -> None:
    """Press stamps onto a plane of hematoxylin; where two overlap, the darker one shows.

    Parameters
    ----------
    plane
        Changed in place, shape ``(n_rows, n_columns)``.
    rows, columns
        Where the middle of each stamp lies, shape ``(n,)``; stamps may reach beyond the plane.
    stamps
        One per place.
    """
    n_rows, n_columns = plane.shape
    for row, column, stamp in zip(rows.tolist(), columns.tolist(), stamps, strict=True):
        height, width = stamp.shape
        top, left = row - height // 2, column - width // 2
        bottom, right = top + height, left + width
        if top >= n_rows or left >= n_columns or bottom <= 0 or right <= 0:
            continue
        if top < 0 or left < 0 or bottom > n_rows or right > n_columns:
            ink = stamp[max(-top, 0) : n_rows - top, max(-left, 0) : n_columns - left]
            part = plane[max(top, 0) : bottom, max(left, 0) : right]
        else:
            ink, part = stamp, plane[top:bottom, left:right]
        np.maximum(part, ink, out=part)


def _direction(kind: NucleusKind, orientation: int, rng: np.random.Generator) -> float:
    step = np.pi / kind.n_orientations
    return float(rng.uniform(0, np.pi) if kind.n_orientations == 1 else step * (orientation + rng.uniform(-0.4, 0.4)))


def _draw(kind: NucleusKind, direction: float, rng: np.random.Generator) -> Stamp:
    """Draw one nucleus at a quarter of a micrometer per pixel."""
    length, width = rng.uniform(*kind.length_um), rng.uniform(*kind.width_um)
    half = int(np.ceil(max(length, width) * 0.68 / _FINE_UM))
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32) * np.float32(_FINE_UM)
    along = x * np.cos(direction) + y * np.sin(direction)
    across = y * np.cos(direction) - x * np.sin(direction)
    across = across + rng.normal(0, 0.012) * (along**2 - length**2 / 8)  # slightly bent
    angle = np.arctan2(across / width, along / length)
    outline = np.ones_like(angle)
    for wave in range(2, 6):
        outline += rng.normal(0, kind.irregularity / (wave - 0.8)) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    radius = np.hypot(2 * along / length, 2 * across / width) / outline
    if kind.n_orientations > 1:
        radius = radius + 0.25 * np.abs(2 * along / length) ** 3  # pointed ends
    depth_um = (1 - radius) * (width / 2)
    body = np.clip(depth_um / 0.55 + 0.5, 0, 1)
    clumps = cv2.GaussianBlur(
        rng.standard_normal(radius.shape).astype(np.float32), (0, 0), kind.clump_um / _FINE_UM / 2
    )
    clumps /= clumps.std()
    dye = rng.uniform(*kind.dye)
    rim = np.exp(-(((depth_um - 0.5) / 0.55) ** 2))
    ink = dye * (1 + kind.clumping * np.clip(clumps, -1.6, 2.2) + kind.rim * rim)
    for _ in range(rng.poisson(kind.nucleoli)):
        place = rng.normal(0, 0.16, 2) * (length, width)
        spot = np.hypot(along - place[0], across - place[1]) / rng.uniform(0.7, 1.3)
        ink += 0.55 * np.exp(-(spot**2))
    stamp: Stamp = (np.clip(ink, 0.15, None) * body).astype(np.float32)
    return stamp


def _shrink(drawing: Stamp, spacing: PixelSpacing) -> Stamp:
    """Bring a drawing to the pixels of the slide and cut away its empty border."""
    n_rows, n_columns = (
        2 * int(np.ceil(n * _FINE_UM / step / 2)) + 1
        for n, step in zip(drawing.shape, (spacing.row_um, spacing.column_um), strict=True)
    )
    high, wide = round(n_rows * spacing.row_um / _FINE_UM), round(n_columns * spacing.column_um / _FINE_UM)
    up, left = (high - drawing.shape[0]) // 2, (wide - drawing.shape[1]) // 2
    framed = cv2.copyMakeBorder(
        drawing, max(up, 0), max(high - drawing.shape[0] - up, 0), max(left, 0),
        max(wide - drawing.shape[1] - left, 0), cv2.BORDER_CONSTANT, value=0,
    )  # fmt: skip
    resized = cv2.resize(framed, (n_columns, n_rows), interpolation=cv2.INTER_AREA)
    small: Stamp = np.asarray(resized, dtype=np.float32)
    used_rows, used_columns = (np.flatnonzero((small > 0.02).any(axis=axis)) for axis in (1, 0))
    if not len(used_rows):
        return small
    row_margin = min(used_rows[0], n_rows - 1 - used_rows[-1])
    column_margin = min(used_columns[0], n_columns - 1 - used_columns[-1])
    return np.ascontiguousarray(small[row_margin : n_rows - row_margin, column_margin : n_columns - column_margin])
