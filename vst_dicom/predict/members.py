"""How far the members of a head disagree."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def deviation(predictions: Iterable[NDArray[np.float32]], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Take the standard deviation over members, one at a time, so that only three arrays lie in memory.

    Parameters
    ----------
    predictions
        Of each member, shape ``(n_tiles, n_genes)``.
    shape
        ``(n_tiles, n_genes)``.

    Returns
    -------
    NDArray[np.float32]
        With ``n_members - 1`` in the denominator; NaN for fewer than two members, since then nothing is known.
    """
    mean = np.zeros(shape, dtype=np.float32)
    squares = np.zeros(shape, dtype=np.float32)
    n_members = 0
    for n_members, prediction in enumerate(predictions, start=1):
        step = prediction - mean
        mean += step / n_members
        squares += step * (prediction - mean)
    if n_members < 2:
        return np.full(shape, np.nan, dtype=np.float32)
    spread: NDArray[np.float32] = np.sqrt(squares / (n_members - 1))
    return spread
