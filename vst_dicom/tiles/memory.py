"""Memory for frames and tiles, placed and used again so that the processor's caches help."""

import ctypes
import math
import weakref
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import RgbImage

_AT_ONCE: Final = 8
"""Arrays that come from the system together, so that it can give them in huge pages; untouched ones take no memory."""


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
        if not self._spare:
            self._spare += list(np.empty((_AT_ONCE, math.prod(self._shape)), dtype=np.uint8))
        memory = self._spare.pop()
        # Views of an array refer to its owner: one made for this turn alone ends when the last of them does.
        owner = (ctypes.c_uint8 * memory.size).from_buffer(memory)
        weakref.finalize(owner, self._spare.append, memory).atexit = False
        return np.frombuffer(owner, dtype=np.uint8).reshape(self._shape)


def frame_memory(size: MatrixSize) -> RgbImage:
    """Memory for one frame after the other, shape ``(n_rows, n_columns, 3)``.

    It begins in the middle between two multiples of 32: libjpeg-turbo writes to such multiples past the cache
    (non-temporal stores), which costs up to a tenth of the time of decoding, and who copies the pixels next waits.
    """
    n_bytes = size.n_rows * size.n_columns * 3
    memory = np.empty(n_bytes + 32, dtype=np.uint8)
    start = (16 - memory.ctypes.data) % 32
    return memory[start : start + n_bytes].reshape(size.n_rows, size.n_columns, 3)
