"""The count of cells agrees with what is painted."""

import numpy as np
import pytest

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.simulate.cells import FAT_CELL_UM, KINDS, count_cells
from vst_dicom.simulate.regions import TissueLayout, TissueParts
from vst_dicom.simulate.slide import Preparation, SimulatedSlide
from vst_dicom.simulate.stain import Camera, DyeAmount

EXTENT_UM = (1120.0, 1120.0)
CENTERS_UM = (np.argwhere(np.ones((10, 10))) + 0.5) * 112.0
SEED = 4


@pytest.fixture(scope="module")
def layout() -> TissueLayout:
    return TissueLayout(EXTENT_UM, SEED, TissueParts(tumor=0.4, lymphoid=0.12, fat=0.2))


@pytest.fixture(scope="module")
def cells(layout: TissueLayout) -> np.ndarray:
    return count_cells(SEED, layout, EXTENT_UM, CENTERS_UM, 100.0)


def shares(layout: TissueLayout) -> dict[str, np.ndarray]:
    """Part of each spot's 100 µm disc that each region takes, sampled every 4 µm."""
    steps = np.arange(-48, 49, 4.0)
    y, x = (axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij"))
    disc = np.hypot(y, x) < 50
    places = CENTERS_UM[:, None, :] + np.column_stack([y, x])[disc]
    labels = layout.at(places[..., 0].ravel(), places[..., 1].ravel()).labels().reshape(places.shape[:2])
    names = ("glass", "stroma", "tumor", "lymphoid", "fat")
    return {name: (labels == number).mean(axis=1) for number, name in enumerate(names)}


def test_cells_follow_the_regions(layout: TissueLayout, cells: np.ndarray) -> None:
    of_region = shares(layout)

    assert cells.shape == (100, 4)
    for kind, region in zip(KINDS, ("tumor", "stroma", "lymphoid", "fat"), strict=True):
        assert np.corrcoef(cells[:, KINDS.index(kind)], of_region[region])[0, 1] > 0.75, kind
    assert (cells[of_region["glass"] == 1] == 0).all()


def test_a_spot_full_of_tumor_holds_one_cell_per_square_of_13_um(layout: TissueLayout, cells: np.ndarray) -> None:
    share = shares(layout)["tumor"]
    mostly = share > 0.6

    assert mostly.any()
    per_spot = (cells[mostly, 0] / share[mostly]).mean()
    assert per_spot == pytest.approx(np.pi * 50**2 / 12.8**2, rel=0.12)  # 48 cells


def test_a_fat_cell_counts_by_its_part(layout: TissueLayout, cells: np.ndarray) -> None:
    full = shares(layout)["fat"] > 0.99

    assert full.any()
    np.testing.assert_allclose(cells[full, 3], np.pi * 50**2 / FAT_CELL_UM**2, rtol=0.03)


def test_more_lymphoid_tissue_is_painted_where_it_is_asked_for() -> None:
    few, many = (
        count_cells(SEED, TissueLayout(EXTENT_UM, SEED, TissueParts(lymphoid=part)), EXTENT_UM, CENTERS_UM, 100.0)
        for part in (0.03, 0.2)
    )

    assert many[:, 2].sum() > 2 * few[:, 2].sum()


def test_scanners_and_dyes_change_the_color_and_nothing_else() -> None:
    size, spacing = MatrixSize(400, 400), PixelSpacing.from_um(0.5)
    usual = SimulatedSlide(size, spacing, SEED)
    other = SimulatedSlide(
        size, spacing, SEED, preparation=Preparation(DyeAmount(0.8, 1.2), Camera((240, 238, 230), (0.9, 1.0, 1.1)))
    )

    np.testing.assert_array_equal(usual.region_map().labels, other.region_map().labels)
    assert not np.array_equal(usual.read_frame(0, 0, 0), other.read_frame(0, 0, 0))
    assert np.median(other.read_frame(0, 0, 0)[:40, :40], axis=(0, 1)) == pytest.approx([240, 238, 230], abs=2)
