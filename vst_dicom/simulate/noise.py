"""Smooth random fields and random points, tied to the glass: the same place always gets the same value.

Nothing here knows frames or images. A field is asked for at positions in micrometers, so two pieces of a slide that
are computed apart fit each other.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TABLE_SIZE = 256
_PLANAR_DEVIATION = 0.479  # standard deviation of a cubic B-spline surface over independent unit normal knots


def make_rng(seed: int, name: str) -> np.random.Generator:
    """Make a generator that depends on the seed and on what it is for, and on nothing else."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


class SmoothNoise:
    """A random surface of mean 0 and standard deviation 1: cubic B-splines over random knots.

    The surface repeats after 256 knots, which is far more than anyone compares by eye.

    Parameters
    ----------
    seed, name
        Which surface.
    scale_um
        Distance between knots; features are about twice as wide.
    """

    def __init__(self, seed: int, name: str, scale_um: float) -> None:
        rng = make_rng(seed, name)
        self._scale_um = scale_um
        knots = rng.standard_normal((_TABLE_SIZE, _TABLE_SIZE)) / _PLANAR_DEVIATION
        self._knots = knots.astype(np.float32)
        self._shift_y, self._shift_x = rng.uniform(0, _TABLE_SIZE, 2)

    def on_grid(self, y_um: NDArray[np.float64], x_um: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values at all crossings of rows and columns.

        Parameters
        ----------
        y_um, x_um
            Positions of the rows, shape ``(n_rows,)``, and of the columns, shape ``(n_columns,)``.

        Returns
        -------
        NDArray[np.float32]
            Shape ``(n_rows, n_columns)``.
        """
        knot_y, weight_y = _spline_weights(y_um / self._scale_um + self._shift_y)
        knot_x, weight_x = _spline_weights(x_um / self._scale_um + self._shift_x)
        columns = np.arange(knot_x[0, 0], knot_x[-1, -1] + 1)
        knots = self._knots[:, columns % _TABLE_SIZE]
        along_y = weight_y[:, :1] * knots[knot_y[:, 0] % _TABLE_SIZE]
        for tap in range(1, 4):
            along_y += weight_y[:, tap : tap + 1] * knots[knot_y[:, tap] % _TABLE_SIZE]
        knot_x -= columns[0]
        values = along_y.take(knot_x[:, 0], axis=1) * weight_x[:, 0]
        for tap in range(1, 4):
            values += along_y.take(knot_x[:, tap], axis=1) * weight_x[:, tap]
        return values

    def at(self, y_um: NDArray[np.float64], x_um: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values at single points; both arrays and the answer have shape ``(n,)``."""
        knot_y, weight_y = _spline_weights(y_um / self._scale_um + self._shift_y)
        knot_x, weight_x = _spline_weights(x_um / self._scale_um + self._shift_x)
        knots = self._knots[knot_y[:, :, None] % _TABLE_SIZE, knot_x[:, None, :] % _TABLE_SIZE]
        values: NDArray[np.float32] = (knots * weight_y[:, :, None] * weight_x[:, None, :]).sum(axis=(1, 2))
        return values


def _spline_weights(position: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the four knots around each position and their weights, both of shape ``(n, 4)``."""
    whole = np.floor(position).astype(np.int64)
    t = position - whole
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    return whole[:, None] + np.arange(-1, 3), weights.astype(np.float32)


@dataclass(frozen=True, eq=False)
class ScatteredPoints:
    """Points that keep some distance from each other, each with its own random numbers.

    Parameters
    ----------
    y_um, x_um
        Where they lie, shape ``(n,)``.
    chance
        Independent uniform numbers from 0 to 1, shape ``(n, 4)``.
    """

    y_um: NDArray[np.float64]
    x_um: NDArray[np.float64]
    chance: NDArray[np.float64]


def scatter(
    seed: int, name: str, cell_um: float, jitter: float, box_um: tuple[float, float, float, float]
) -> ScatteredPoints:
    """Put one point into each cell of a square grid, off its middle by chance.

    Parameters
    ----------
    seed, name
        Which points.
    cell_um
        Side of a cell.
    jitter
        How far a point may move, as a part of the cell; 0 gives a regular grid, 1 fills the cell.
    box_um
        Top, left, bottom, right of the area asked for; all points of all cells that touch it come back, sorted by
        row and column of the cell.
    """
    top, left, bottom, right = (int(np.floor(edge / cell_um)) for edge in box_um)
    cells = np.indices((bottom - top + 1, right - left + 1)).reshape(2, -1)
    rows, columns = cells[0] + top, cells[1] + left
    chance = _hash_uniform(rows, columns, zlib.crc32(name.encode()) ^ (seed * 0x9E3779B1), 6)
    return ScatteredPoints(
        y_um=(rows + 0.5 + (chance[:, 0] - 0.5) * jitter) * cell_um,
        x_um=(columns + 0.5 + (chance[:, 1] - 0.5) * jitter) * cell_um,
        chance=chance[:, 2:],
    )


def _hash_uniform(rows: ArrayLike, columns: ArrayLike, salt: int, n_numbers: int) -> NDArray[np.float64]:
    """Uniform numbers that depend on the cell and the salt only, shape ``(n_cells, n_numbers)``."""
    state = np.asarray(rows).astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93)
    state ^= np.asarray(columns).astype(np.uint64) * np.uint64(0xA0761D6478BD642F)
    state += np.uint64(salt & 0xFFFFFFFFFFFFFFFF)
    stream = state[:, None] + np.arange(1, n_numbers + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    stream = (stream ^ (stream >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    stream = (stream ^ (stream >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    stream ^= stream >> np.uint64(31)
    uniform: NDArray[np.float64] = (stream >> np.uint64(11)).astype(np.float64) / 2.0**53
    return uniform
