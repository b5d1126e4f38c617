"""Maps made up for the search of hotspots: tissue of irregular shape, smooth noise on it, and a planted square."""

import numpy as np
from scipy import ndimage

from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.tiles import TileGrid

SIDE = 60
SPACING = PixelSpacing.from_um(0.5)
TILE = MatrixSize(224, 224)


def ragged_grid(random: np.random.Generator, side: int = SIDE) -> TileGrid:
    """Tissue with fringes and holes on about half of a square grid, at least a sixth of it."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    away = np.hypot(rows, columns) / (side / 2)
    mask = np.zeros((side, side), dtype=np.bool_)
    while mask.sum() < side * side / 6:
        field = ndimage.gaussian_filter(random.standard_normal((side, side)), side / 10)
        mask = field / field.std() > 2.2 * (away - 0.75)
    return TileGrid(TILE, MatrixSize(side, side), np.argwhere(mask).astype(np.int32))


def smooth_noise(random: np.random.Generator, grid: TileGrid, sigma: float, n_genes: int = 1) -> np.ndarray:
    """White noise smoothed by a Gaussian of `sigma` tiles, mean 0 and variance 1 over the tiles, (n_tiles, n_genes)."""
    margin = int(4 * sigma) + 1
    size = (n_genes, grid.size.n_rows + 2 * margin, grid.size.n_columns + 2 * margin)
    field = ndimage.gaussian_filter(random.standard_normal(size), (0, sigma, sigma))
    values = field[:, grid.cells[:, 0] + margin, grid.cells[:, 1] + margin].T
    return (values - values.mean(axis=0)) / values.std(axis=0)


def square_inside(random: np.random.Generator, grid: TileGrid, side: int = 5) -> np.ndarray:
    """Tiles of a square at a random place where all of it is tissue."""
    centers = np.argwhere(ndimage.binary_erosion(grid.mask, np.ones((side, side))))
    distance = np.abs(grid.cells - centers[random.integers(len(centers))]).max(axis=1)
    return np.flatnonzero(distance <= side // 2)
