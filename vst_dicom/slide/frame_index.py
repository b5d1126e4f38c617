"""Where the encoded frames of a file lie (PS3.5 A.4 and 8.2), and how to fetch one.

Fragments are found by walking from one item to the next, not by the offset tables: tables are often missing, wrong, or
too small for their file, and a walk costs microseconds per frame. A table serves only where a frame consists of several
fragments.
"""

import os
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import DamagedInstanceError, MissingInputError
from vst_dicom.slide.elements import ITEM, SEQUENCE_DELIMITATION
from vst_dicom.slide.instance import InstanceFile

_CODESTREAM_STARTS: Final = (b"\xff\xd8", b"\xff\x4f", b"\xff\x0a")
_MAX_FRAGMENTS_PER_FRAME: Final = 1024


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Fragments of a file, and which of them make a frame.

    Parameters
    ----------
    starts, lengths
        First byte and number of bytes of each fragment, shape ``(n_fragments,)``.
    first
        First fragment of each frame, and behind them the number of fragments, shape ``(n_frames + 1,)``.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    first: NDArray[np.int64]


class FrameFile:
    """The frames of one file, read by position: any number of threads may read at once.

    Reading by position rather than through a memory map keeps the pages of a large slide out of the resident memory,
    and a file that is cut while it is open raises an error instead of ending the process.

    Parameters
    ----------
    instance
        Which file.
    n_frames
        Number of Frames (0028,0008).
    native_bytes
        Bytes of a frame that is not encapsulated; None for encapsulated frames.

    Raises
    ------
    DamagedInstanceError
        If the frames are not as many as said, or do not lie inside the file.
    """

    def __init__(self, instance: InstanceFile, n_frames: int, native_bytes: int | None) -> None:
        self.instance = instance
        self.n_frames = n_frames
        try:
            self._descriptor = os.open(instance.path, os.O_RDONLY)
        except OSError as error:
            msg = f"{instance.path} cannot be opened ({error.strerror})"
            raise MissingInputError(msg) from error
        try:
            self._index = self._index_fragments() if native_bytes is None else self._index_native(native_bytes)
        except DamagedInstanceError as error:
            self.close()
            msg = f"{instance.path.name}: {error}"
            raise DamagedInstanceError(msg) from error

    def read(self, frame: int) -> bytes:
        """Fetch an encoded frame, from 0.

        Raises
        ------
        DamagedInstanceError
            If the file ends before the frame does.
        """
        index = self._index
        if len(index.starts) == self.n_frames:
            return self._read_at(index.starts.item(frame), index.lengths.item(frame))
        return b"".join(
            self._read_at(int(index.starts[fragment]), int(index.lengths[fragment]))
            for fragment in range(index.first[frame], index.first[frame + 1])
        )

    def close(self) -> None:
        """Close the file; once more is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read_at(self, start: int, length: int) -> bytes:
        data = os.pread(self._descriptor, length, start)
        while len(data) < length:  # a file system may give less than asked for
            more = os.pread(self._descriptor, length - len(data), start + len(data))
            if not more:
                msg = f"the file ends at byte {start + len(data)} inside its pixel data; export it again"
                raise DamagedInstanceError(msg)
            data += more
        return data

    def _index_native(self, native_bytes: int) -> FrameIndex:
        element = self.instance.pixel_data
        if element.undefined or element.stop - element.start < native_bytes * self.n_frames:
            msg = (
                f"Pixel Data (7FE0,0010) has {element.stop - element.start} bytes, "
                f"{self.n_frames} frames need {native_bytes * self.n_frames}; export the file again"
            )
            raise DamagedInstanceError(msg)
        frames = np.arange(self.n_frames, dtype=np.int64)
        return FrameIndex(
            starts=element.start + frames * native_bytes,
            lengths=np.full(self.n_frames, native_bytes, dtype=np.int64),
            first=np.arange(self.n_frames + 1, dtype=np.int64),
        )

    def _index_fragments(self) -> FrameIndex:
        if not self.instance.pixel_data.undefined:
            raise DamagedInstanceError("Pixel Data (7FE0,0010) is not encapsulated as the transfer syntax demands")
        basic_table, starts, lengths = self._walk_fragments()
        if len(starts) == self.n_frames:
            first = np.arange(self.n_frames, dtype=np.int64)
        elif self.n_frames == 1 and len(starts):
            first = np.zeros(1, dtype=np.int64)
        elif len(starts) > self.n_frames:
            first = self._group_fragments(starts, basic_table)
        else:
            msg = f"{len(starts)} of {self.n_frames} frames are in the file; it may be cut off: export it again"
            raise DamagedInstanceError(msg)
        return FrameIndex(starts, lengths, np.append(first, len(starts)))

    def _walk_fragments(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Read the Basic Offset Table, and the first byte and length of each fragment (PS3.5 table A.4-1)."""
        starts: list[int] = []
        lengths: list[int] = []
        position, size = self.instance.pixel_data.start, self.instance.size_bytes
        limit = self.n_frames * _MAX_FRAGMENTS_PER_FRAME
        while position + 8 <= size:
            group, number, length = struct.unpack("<HHI", os.pread(self._descriptor, 8, position))
            tag = group << 16 | number
            if tag == SEQUENCE_DELIMITATION:
                break
            if tag != ITEM:
                raise DamagedInstanceError("the pixel data hold something else than items; export the file again")
            position += 8
            if position + length > size or len(starts) > limit:
                msg = f"a fragment reaches to byte {position + length}, the file has {size} bytes; export it again"
                raise DamagedInstanceError(msg)
            starts.append(position)
            lengths.append(length)
            position += length
        if not starts:
            raise DamagedInstanceError("the pixel data hold no item; the file may be cut off: export it again")
        table = np.frombuffer(self._read_at(starts[0], lengths[0] // 4 * 4), dtype="<u4").astype(np.int64)
        return table, np.array(starts[1:], dtype=np.int64), np.array(lengths[1:], dtype=np.int64)

    def _group_fragments(self, starts: NDArray[np.int64], basic_table: NDArray[np.int64]) -> NDArray[np.int64]:
        """First fragment of each frame, where frames consist of several."""
        heads = starts - 8
        tables = [basic_table]
        extended = self.instance.extended_offset_table
        if extended is not None:
            raw = self._read_at(extended.start, (extended.stop - extended.start) // 8 * 8)
            tables.insert(0, np.frombuffer(raw, dtype="<u8").astype(np.int64))
        for table in tables:
            if len(table) != self.n_frames:
                continue
            first = np.searchsorted(heads, table + heads[0])
            fits = first < len(heads)
            if fits.all() and (heads[first] == table + heads[0]).all() and first[0] == 0 and (np.diff(first) > 0).all():
                grouped: NDArray[np.int64] = first.astype(np.int64)
                return grouped
        begins = [number for number, start in enumerate(starts) if self._read_at(int(start), 2) in _CODESTREAM_STARTS]
        if len(begins) == self.n_frames and begins[0] == 0:
            return np.array(begins, dtype=np.int64)
        msg = f"{len(starts)} fragments cannot be told apart into {self.n_frames} frames; export the file again"
        raise DamagedInstanceError(msg)
