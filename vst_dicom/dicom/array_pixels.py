"""Pixel data that are written from the array in which they were made, without a copy."""

import io
from typing import Any

from numpy.typing import NDArray


class ArrayPixels(io.BufferedIOBase):
    """An array as the value of an element, such as Pixel Data (7FE0,0010), for pydicom to read from.

    Parameters
    ----------
    array
        The pixels, contiguous, in the order and byte order of the file; they must not change any more.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._bytes = array.data.cast("B")
        self._position = 0

    def readable(self) -> bool:
        """Answer for `io.IOBase`: always."""
        return True

    def seekable(self) -> bool:
        """Answer for `io.IOBase`: always."""
        return True

    def tell(self) -> int:
        """Say where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere, see `io.IOBase.seek`."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._bytes)}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Read bytes, all that are left by default."""
        stop = len(self._bytes) if size is None or size < 0 else self._position + size
        found = bytes(self._bytes[self._position : stop])
        self._position += len(found)
        return found
