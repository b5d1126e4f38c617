"""Which cells lie where: the rules that the painter follows, and the count that the simulated transcripts follow."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.simulate.noise import ScatteredPoints, SmoothNoise, scatter
from vst_dicom.simulate.regions import RegionFields, TissueLayout

_TUMOR_UM: Final = 12.8
_SPINDLE_UM: Final = 14.0
_LYMPHOCYTE_UM: Final = 6.6
"""Cells of each kind stand at most this densely: one per square of this side."""

FAT_CELL_UM: Final = 64.0
"""Side of the square that a fat cell fills."""

_Box = tuple[float, float, float, float]
_Evaluate = Callable[[SmoothNoise], NDArray[np.float32]]


def scatter_tumor(seed: int, box_um: _Box) -> ScatteredPoints:
    """Places that may hold a tumor cell."""
    return scatter(seed, "tumor cells", _TUMOR_UM, 0.85, box_um)


def scatter_spindles(seed: int, box_um: _Box) -> ScatteredPoints:
    """Places that may hold a cell of the stroma."""
    return scatter(seed, "stroma cells", _SPINDLE_UM, 0.95, box_um)


def scatter_lymphocytes(seed: int, box_um: _Box) -> ScatteredPoints:
    """Places that may hold a lymphocyte."""
    return scatter(seed, "lymphocytes", _LYMPHOCYTE_UM, 0.95, box_um)


def cellularity_of(seed: int) -> SmoothNoise:
    """How many cells the stroma of a slide holds."""
    return SmoothNoise(seed, "cellularity", 130)


def inflammation_of(seed: int) -> SmoothNoise:
    """How many single lymphocytes wander through a slide."""
    return SmoothNoise(seed, "inflammation", 170)


class Glands:
    """Lumens in the tumor of one slide, where no cell lies."""

    def __init__(self, seed: int) -> None:
        self._noise = (SmoothNoise(seed, "lumen", 24), SmoothNoise(seed, "glands", 420))

    def depth_um(self, fields: RegionFields, of: _Evaluate) -> NDArray[np.floating]:
        """How deep places lie in a lumen, negative outside, in the shape of the fields."""
        lumen = of(self._noise[0]) + 0.35 * of(self._noise[1]) - 1.85
        depth: NDArray[np.floating] = np.minimum(lumen * 30, np.minimum(fields.tumor - 22, -4 - fields.lymphoid))
        return depth


def holds_tumor_cell(fields: RegionFields, lumen_um: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether a tumor cell lies at each place."""
    answer: NDArray[np.bool_] = (fields.tumor > 0) & (lumen_um <= 0) & (fields.tissue > 3)
    answer &= (fields.fat <= 0) & (fields.lymphoid <= 0)
    return answer


def spindle_chance(fields: RegionFields, cellularity: NDArray[np.floating]) -> NDArray[np.float64]:
    """Chance of a cell of the stroma at each place."""
    frequency = 0.34 + 0.13 * cellularity
    frequency = np.where(fields.fat > 0, 0.5 * frequency, frequency)
    return np.where((fields.tumor < -5) & (fields.lymphoid < 0) & (fields.tissue > 4), frequency, 0.0)


def lymphocyte_chance(fields: RegionFields, inflammation: NDArray[np.floating]) -> NDArray[np.float64]:
    """Chance of a lymphocyte at each place: crowds in lymphoid tissue, some around it, few elsewhere."""
    scattered = 0.006 + 0.02 * np.clip(inflammation, 0, 3) ** 2
    crowd = np.where(fields.lymphoid > 0, 0.80, scattered + 0.5 * np.exp(np.minimum(fields.lymphoid, 0) / 9))
    return np.where(fields.tissue > 4, crowd, 0.0)


KINDS: Final = ("tumor", "stroma", "lymphocyte", "fat")
"""Kinds of cells, in the order of every array that has one column per kind."""

_AREA_STEP_UM: Final = 8.0


def count_cells(
    seed: int, layout: TissueLayout, extent_um: tuple[float, float], centers_um: NDArray[np.float64], spot_um: float
) -> NDArray[np.float64]:
    """Count the cells that are painted in round spots which do not touch each other.

    Parameters
    ----------
    seed, layout, extent_um
        Which slide, its plan, its height and width.
    centers_um
        y, x of the spots, shape ``(n_spots, 2)``.
    spot_um
        Diameter of a spot.

    Returns
    -------
    NDArray[np.float64]
        Cells of each of `KINDS`, shape ``(n_spots, 4)``; a fat cell counts by the part of it that lies in the spot.
    """
    from scipy.spatial import KDTree

    tree, n_spots = KDTree(centers_um), len(centers_um)
    box_um = (0.0, 0.0, *extent_um)
    glands, cellularity, inflammation = Glands(seed), cellularity_of(seed), inflammation_of(seed)

    def in_spots(y_um: NDArray[np.float64], x_um: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
        places = np.column_stack([y_um, x_um])[there]
        _, nearest = tree.query(places, distance_upper_bound=spot_um / 2)
        return np.bincount(nearest, minlength=n_spots + 1)[:n_spots].astype(np.float64)

    tumor = scatter_tumor(seed, box_um)
    fields = layout.at(tumor.y_um, tumor.x_um)
    lumen_um = glands.depth_um(fields, lambda noise: noise.at(tumor.y_um, tumor.x_um))
    n_tumor = in_spots(tumor.y_um, tumor.x_um, holds_tumor_cell(fields, lumen_um))

    spindles = scatter_spindles(seed, box_um)
    chance = spindle_chance(layout.at(spindles.y_um, spindles.x_um), cellularity.at(spindles.y_um, spindles.x_um))
    n_stroma = in_spots(spindles.y_um, spindles.x_um, spindles.chance[:, 1] < chance)

    lymphocytes = scatter_lymphocytes(seed, box_um)
    fields = layout.at(lymphocytes.y_um, lymphocytes.x_um)
    chance = lymphocyte_chance(fields, inflammation.at(lymphocytes.y_um, lymphocytes.x_um))
    solid = fields.fat <= 0
    n_lymphocytes = in_spots(lymphocytes.y_um, lymphocytes.x_um, (lymphocytes.chance[:, 1] < chance) & solid)

    y_um, x_um = (
        axis.ravel()
        for axis in np.meshgrid(*(np.arange(_AREA_STEP_UM / 2, n, _AREA_STEP_UM) for n in extent_um), indexing="ij")
    )
    fields = layout.at(y_um, x_um)
    n_fat = in_spots(y_um, x_um, (fields.fat > 0) & (fields.tissue > 0)) * (_AREA_STEP_UM / FAT_CELL_UM) ** 2
    return np.column_stack([n_tumor, n_stroma, n_lymphocytes, n_fat])
