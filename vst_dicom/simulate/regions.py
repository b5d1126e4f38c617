"""Which tissue lies where on a simulated slide, and the map of it that goes with the slide as its truth."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.simulate.noise import SmoothNoise, make_rng

TRUTH_PIXEL_UM = 16.0
"""Side of a pixel of the region map; seven of them make a tile of 112 µm."""

_EDGE_REACH_UM = 90.0
"""The details of the edge reach less far than this."""

_STEEPEST = 3.0
"""The outline's depth changes by less than this per micrometer."""


class Region(IntEnum):
    """What a place of the slide is made of; the number is the value in the region map."""

    GLASS = 0
    STROMA = 1
    TUMOR = 2
    LYMPHOID = 3
    FAT = 4


@dataclass(frozen=True, eq=False)
class RegionFields:
    """How deep each position lies in each kind of tissue.

    All arrays have the same shape, in micrometers, roughly: positive inside, 0 on the border, negative outside.
    """

    tissue: NDArray[np.floating]
    tumor: NDArray[np.floating]
    lymphoid: NDArray[np.floating]
    fat: NDArray[np.floating]

    def read(self, at: Callable[[NDArray[np.floating]], NDArray[np.floating]]) -> "RegionFields":
        """Take the fields at other places, such as those of single cells."""
        tissue, tumor, lymphoid, fat = (
            at(field).astype(np.float64) for field in (self.tissue, self.tumor, self.lymphoid, self.fat)
        )
        return RegionFields(tissue, tumor, lymphoid, fat)

    def labels(self) -> NDArray[np.uint8]:
        """Name the region of each position; fat goes before lymphoid, that before tumor, the rest is stroma."""
        labels = np.full(self.tissue.shape, Region.STROMA, dtype=np.uint8)
        labels[self.tumor > 0] = Region.TUMOR
        labels[self.lymphoid > 0] = Region.LYMPHOID
        labels[self.fat > 0] = Region.FAT
        labels[self.tissue <= 0] = Region.GLASS
        return labels


_Evaluate = Callable[[SmoothNoise], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TissueParts:
    """How much of a slide's tissue is of each kind, fractions of 1.

    Parameters
    ----------
    tumor, lymphoid
        Of the tissue that is not fat; lymphoid goes before tumor where both fall together.
    fat
        Of all tissue.
    """

    tumor: float = 0.40
    lymphoid: float = 0.07
    fat: float = 0.15


class TissueLayout:
    """The plan of a slide: one piece of tissue with fat at one side, tumor nests and lymphocyte aggregates.

    Sizes follow the slide up to the sizes of real tissue, so that a slide of half a millimeter has all regions too.

    Parameters
    ----------
    extent_um
        Height and width of the slide.
    seed
        Which slide.
    parts
        How much there is of each kind of tissue.
    """

    def __init__(
        self,
        extent_um: tuple[float, float],
        seed: int,
        parts: TissueParts = TissueParts(),
    ) -> None:
        self._parts = parts
        self._height, self._width = extent_um
        self._short = min(extent_um)
        size = self._scale = float(np.clip(self._short / 2500, 0.3, 1.0))
        self._nest_um = 125 * size

        def noise(name: str, scale_um: float) -> SmoothNoise:
            return SmoothNoise(seed, name, scale_um)

        self._outline = (noise("outline", self._short / 3.2), noise("outline bays", min(self._short / 11, 260.0)))
        self._edge = (noise("edge", 75 * size), noise("edge tufts", 21), noise("edge fibers", 6))
        zone_um = min(self._short / 3.5, 1600.0)
        self._tumor_zone = (noise("tumor zone", zone_um), noise("tumor bays", 0.62 * zone_um))
        self._nests = (
            noise("nests", self._nest_um),
            noise("nests between", 0.69 * self._nest_um),
            noise("nest edges", 0.37 * self._nest_um),
            noise("cells", 12),
        )
        self._lymph = (noise("lymphoid", 120 * size), noise("lymphoid edges", 30))
        self._fat = (noise("fat", min(self._short / 4, 900.0)), noise("fat lobules", 160 * size))
        angle = make_rng(seed, "fat side").uniform(0, 2 * np.pi)
        self._fat_side = (np.sin(angle), np.cos(angle))
        self._limits = {"tumor": 0.0, "lymphoid": 0.0, "fat": 0.0}
        self._limits = self._find_limits()

    def on_grid(self, y_um: NDArray[np.float64], x_um: NDArray[np.float64]) -> RegionFields:
        """Fields at all crossings of rows and columns, shape ``(n_rows, n_columns)``."""
        return self._fields(y_um[:, None], x_um[None, :], lambda noise: noise.on_grid(y_um, x_um))

    def at(self, y_um: NDArray[np.float64], x_um: NDArray[np.float64]) -> RegionFields:
        """Fields at single points, shape ``(n,)``."""
        return self._fields(y_um, x_um, lambda noise: noise.at(y_um, x_um))

    def is_surely_glass(self, box_um: tuple[float, float, float, float]) -> bool:
        """Whether a rectangle (top, left, bottom, right) lies so far outside the tissue that no detail reaches it."""
        n = 9
        y_um, x_um = np.linspace(box_um[0], box_um[2], n), np.linspace(box_um[1], box_um[3], n)
        half_step_um = float(np.hypot(y_um[1] - y_um[0], x_um[1] - x_um[0])) / 2
        body = self._body(y_um[:, None], x_um[None, :], lambda noise: noise.on_grid(y_um, x_um))
        return float(body.max()) < -(_EDGE_REACH_UM + _STEEPEST * half_step_um)

    def _body(self, y_um: NDArray[np.float64], x_um: NDArray[np.float64], of: _Evaluate) -> NDArray[np.float32]:
        """Give the outline without the details of its edge, as `RegionFields.tissue`."""
        v = (y_um / self._height - 0.5).astype(np.float32)
        u = (x_um / self._width - 0.5).astype(np.float32)
        radius = (np.abs(u / 0.43) ** 3 + np.abs(v / 0.43) ** 3) ** np.float32(1 / 3)
        body = 1 - radius + 0.11 * of(self._outline[0]) + 0.05 * of(self._outline[1])
        to_glass = 0.48 - np.maximum(np.abs(u), np.abs(v))
        smaller: NDArray[np.float32] = np.minimum(body * 0.43, to_glass) * np.float32(self._short)
        return smaller

    def _fields(self, y_um: NDArray[np.float64], x_um: NDArray[np.float64], of: _Evaluate) -> RegionFields:
        v = (y_um / self._height - 0.5).astype(np.float32)
        u = (x_um / self._width - 0.5).astype(np.float32)
        tissue = self._body(y_um, x_um, of) + 11 * self._scale * of(self._edge[0])
        tissue = tissue + 4.5 * of(self._edge[1]) + 2.6 * of(self._edge[2])
        to_glass = (0.48 - np.maximum(np.abs(u), np.abs(v))) * np.float32(self._short)
        tissue = np.minimum(tissue, to_glass)
        tumor = 0.42 * of(self._tumor_zone[0]) + 0.38 * of(self._tumor_zone[1])
        tumor = tumor + 0.75 * of(self._nests[0]) + 0.72 * of(self._nests[1]) + 0.3 * of(self._nests[2])
        tumor = (tumor - self._limits["tumor"]) * np.float32(0.75 * self._nest_um) + 1.5 * of(self._nests[3])
        lymphoid = of(self._lymph[0]) + 0.3 * of(self._lymph[1]) - 0.004 * np.abs(tumor + 30)
        lymphoid = (lymphoid - self._limits["lymphoid"]) * np.float32(90)
        side = (v * self._fat_side[0] + u * self._fat_side[1]) * np.float32(5)
        fat = (side + 0.6 * of(self._fat[0]) + 0.35 * of(self._fat[1]) - self._limits["fat"]) * np.float32(160)
        return RegionFields(tissue, tumor, lymphoid, fat)

    def _find_limits(self) -> dict[str, float]:
        """Choose the levels at which the fields are cut so that every kind of tissue has its part of the area."""
        step = max(self._height, self._width) / 300
        fields = self.on_grid(np.arange(step / 2, self._height, step), np.arange(step / 2, self._width, step))
        inside = fields.tissue > 0
        scale = {"tumor": 0.75 * self._nest_um, "lymphoid": 90.0, "fat": 160.0}
        fat = np.quantile(fields.fat[inside], 1 - self._parts.fat)
        inside &= fields.fat < fat
        tumor = np.quantile(fields.tumor[inside], 1 - self._parts.tumor)
        centered = fields.lymphoid + 90 * 0.004 * (np.abs(fields.tumor + 30) - np.abs(fields.tumor - tumor + 30))
        lymphoid = np.quantile(centered[inside], 1 - self._parts.lymphoid)
        cuts = {"tumor": tumor, "lymphoid": lymphoid, "fat": fat}
        return {name: float(cut / scale[name]) for name, cut in cuts.items()}


@dataclass(frozen=True, eq=False)
class RegionMap:
    """The truth about a simulated slide.

    Parameters
    ----------
    labels
        `Region` numbers, shape ``(n_rows, n_columns)``; the last row and column may reach beyond the slide.
    spacing
        Side of a pixel of the map.
    """

    labels: NDArray[np.uint8]
    spacing: PixelSpacing


def map_regions(layout: TissueLayout, size: MatrixSize, spacing: PixelSpacing) -> RegionMap:
    """Say for every square of 16 µm which region its middle belongs to.

    Parameters
    ----------
    layout
        The plan of the slide.
    size, spacing
        Total pixel matrix of the slide and distance between its pixels.
    """
    n_rows = int(np.ceil(size.n_rows * spacing.row_um / TRUTH_PIXEL_UM))
    n_columns = int(np.ceil(size.n_columns * spacing.column_um / TRUTH_PIXEL_UM))
    y_um, x_um = np.arange(0.5, n_rows) * TRUTH_PIXEL_UM, np.arange(0.5, n_columns) * TRUTH_PIXEL_UM
    return RegionMap(layout.on_grid(y_um, x_um).labels(), PixelSpacing.from_um(TRUTH_PIXEL_UM))
