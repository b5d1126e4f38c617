"""Tiles around places of a slide, few of them: the encoder is what costs.

Neighborhoods of measured spots overlap, but their tiles do not lie on one grid. A tile of a neighborhood that would
lie within a quarter of a tile of one that is there already is not made anew. On spots 200 µm apart this halves the
work for 5 × 5 tiles; on a slide's own grid every tile is shared exactly.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import MatrixSize

NEAR: Final = 0.25
"""Two tiles are taken to be one when they lie apart by at most this part of a tile, along x and along y."""


def share_tiles(
    centers_px: NDArray[np.float64], tile_size: MatrixSize, reach: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lay tiles around each place, taking those of other places where they nearly lie right.

    Parameters
    ----------
    centers_px
        x, y at base level, shape ``(n_places, 2)``.
    tile_size
        Rows and columns of a tile, base level pixels.
    reach
        Tiles around the middle one on each side: 0, 1 or 2 for squares of 1, 3 or 5 tiles.

    Returns
    -------
    tuple
        Corners of the tiles, shape ``(n_tiles, 2)``, first those in whose middle the places lie, in their order; and
        for each place the tile in each cell of its square, by rows, shape ``(n_places, (2 * reach + 1) ** 2)``.
    """
    size = np.array([tile_size.n_columns, tile_size.n_rows])
    middles = np.rint(centers_px - (size - 1) / 2).astype(np.int64)
    steps = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) * size
    tiles = np.empty((len(middles) * len(offsets), 2), dtype=np.int64)
    tiles[: len(middles)] = middles
    n_tiles = len(middles)
    tile_of = np.empty((len(middles), len(offsets)), dtype=np.int64)
    for place, middle in enumerate(middles):
        wanted = middle + offsets
        close = np.flatnonzero((np.abs(tiles[:n_tiles] - middle) < (reach + 1) * size).all(axis=1))
        distance = (np.abs(tiles[close] - wanted[:, None]) / size).max(axis=2)
        nearest = distance.argmin(axis=1)
        shared = distance[np.arange(len(wanted)), nearest] <= NEAR
        tile_of[place, shared] = close[nearest[shared]]
        n_new = int((~shared).sum())
        tile_of[place, ~shared] = np.arange(n_tiles, n_tiles + n_new)
        tiles[n_tiles : n_tiles + n_new] = wanted[~shared]
        n_tiles += n_new
        tile_of[place, len(offsets) // 2] = place
    return tiles[:n_tiles].copy(), tile_of
