"""Memory that is used again as soon as nobody holds it any more."""

import ctypes
import math
import weakref

import numpy as np
from numpy.typing import NDArray


class ArrayPool:
    """Arrays of one shape; one that all others have let go of, views included, serves again.

    Fresh memory comes from the system page by page, and each page costs as much as copying several: for tiles that is
    a sixth of the time of reading them.

    Parameters
    ----------
    shape
        Of every array.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._spare: list[NDArray[np.uint8]] = []

    def take(self) -> NDArray[np.uint8]:
        """Array with whatever was in it before."""
        memory = self._spare.pop() if self._spare else np.empty(math.prod(self._shape), dtype=np.uint8)
        # Views of an array refer to its owner: one made for this turn alone ends when the last of them does.
        owner = (ctypes.c_uint8 * memory.size).from_buffer(memory)
        weakref.finalize(owner, self._spare.append, memory).atexit = False
        return np.frombuffer(owner, dtype=np.uint8).reshape(self._shape)
