import numpy as np
import pytest

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.simulate.regions import Region, TissueLayout, map_regions


@pytest.mark.parametrize("extent_um", [(300.0, 300.0), (512.0, 900.0), (4500.0, 6000.0), (20000.0, 20000.0)])
@pytest.mark.parametrize("seed", [0, 1, 77])
def test_every_slide_has_every_region_and_glass_all_around(extent_um: tuple[float, float], seed: int) -> None:
    layout = TissueLayout(extent_um, seed)
    y_um, x_um = (np.linspace(0, extent, 160) for extent in extent_um)

    labels = layout.on_grid(y_um, x_um).labels()

    assert set(np.unique(labels)) == set(Region)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    assert (border == Region.GLASS).all()
    assert 0.25 < (labels != Region.GLASS).mean() < 0.9


def test_regions_take_about_their_share_of_the_tissue() -> None:
    layout = TissueLayout((4500.0, 6000.0), 3)
    labels = layout.on_grid(np.arange(0, 4500, 16.0), np.arange(0, 6000, 16.0)).labels()
    tissue = (labels != Region.GLASS).sum()

    assert (labels == Region.FAT).sum() / tissue == pytest.approx(0.15, abs=0.03)
    assert (labels == Region.TUMOR).sum() / tissue == pytest.approx(0.32, abs=0.05)
    assert (labels == Region.LYMPHOID).sum() / tissue == pytest.approx(0.06, abs=0.02)


def test_the_map_covers_the_slide_with_squares_of_16_um() -> None:
    layout = TissueLayout((1001 * 0.25, 777 * 0.5), 3)

    truth = map_regions(layout, MatrixSize(1001, 777), PixelSpacing.from_um(0.25, 0.5))

    assert truth.labels.shape == (16, 25)  # 250.25 µm and 388.5 µm
    assert truth.spacing == PixelSpacing.from_um(16)


def test_a_map_pixel_names_the_region_of_its_middle() -> None:
    layout = TissueLayout((900.0, 700.0), 11)
    truth = map_regions(layout, MatrixSize(1800, 1400), PixelSpacing.from_um(0.5))

    middle = layout.at(np.array([16 * 30 + 8.0]), np.array([16 * 21 + 8.0])).labels()

    assert truth.labels[30, 21] == middle[0]


@pytest.mark.parametrize("extent_um", [(400.0, 700.0), (4500.0, 6000.0), (20000.0, 9000.0)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_surely_glass_holds_no_tissue(extent_um: tuple[float, float], seed: int) -> None:
    layout = TissueLayout(extent_um, seed)
    n_glass = 0
    for top in np.arange(0, extent_um[0], 512):
        for left in np.arange(0, extent_um[1], 512):
            if layout.is_surely_glass((top, left, top + 512, left + 512)):
                n_glass += 1
                tissue = layout.on_grid(np.arange(top, top + 512, 8), np.arange(left, left + 512, 8)).tissue
                assert tissue.max() < -2

    assert n_glass > 0 or max(extent_um) < 1000
