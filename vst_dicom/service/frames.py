"""Frames of a stored image, as they are stored: no frame is decoded (PS3.18 10.4.1.1.6)."""

import weakref
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from pydicom.dataset import Dataset

from vst_dicom.dicom.attributes import read_int, read_text
from vst_dicom.domain.errors import DamagedInstanceError, MissingInputError
from vst_dicom.service.part10 import Part10File, Span
from vst_dicom.slide.elements import EXTENDED_OFFSET_TABLE, PIXEL_DATA
from vst_dicom.slide.frame_index import FrameFile
from vst_dicom.slide.instance import InstanceFile

FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009

_FLOAT_BITS: Final = {FLOAT_PIXEL_DATA: 32, DOUBLE_FLOAT_PIXEL_DATA: 64}

OCTET_STREAM: Final = "application/octet-stream"
EXPLICIT_VR: Final = "1.2.840.10008.1.2.1"
_NATIVE: Final = frozenset({"1.2.840.10008.1.2", EXPLICIT_VR})

_MEDIA_TYPES: Final = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.110": "image/jxl",
    "1.2.840.10008.1.2.4.111": "image/jxl",
    "1.2.840.10008.1.2.4.112": "image/jxl",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
"""Media type of a frame by transfer syntax (PS3.18 table 8.7.3-5)."""


class _Frames(Protocol):
    def read(self, frame: int) -> bytes: ...


@dataclass(frozen=True, eq=False)
class FrameReader:
    """Reads the frames of a file; any number of threads may.

    Parameters
    ----------
    n_frames
        Number of Frames (0028,0008).
    media_type, transfer_syntax_uid
        How frames are encoded; native ones are little endian.
    frames
        Reads one, from 0.
    """

    n_frames: int
    media_type: str
    transfer_syntax_uid: str
    frames: _Frames

    def read(self, number: int) -> bytes:
        """Read a frame, from 1.

        Raises
        ------
        MissingInputError
            If there is none of this number.
        DamagedInstanceError
            If the file is broken.
        """
        self.check(number)
        return self.frames.read(number - 1)

    def check(self, number: int) -> None:
        """Refuse the number of a frame that the image does not have; raises as `read` does."""
        if not 1 <= number <= self.n_frames:
            msg = f"there is no frame {number}; the image has {self.n_frames}"
            raise MissingInputError(msg)


def read_frames(file: Part10File) -> FrameReader:
    """Find the frames of a file.

    Raises
    ------
    MissingInputError
        If it is no image, or one that is not served.
    DamagedInstanceError
        If its frames are not where they must be.
    """
    header = file.read_header()
    n_frames = read_int(header, "NumberOfFrames") or 1
    if file.transfer_syntax_uid not in _NATIVE:
        if PIXEL_DATA not in file.elements:
            raise MissingInputError("the instance has no pixel data")
        media_type = _MEDIA_TYPES.get(file.transfer_syntax_uid, OCTET_STREAM)
        pixel_data, table = file.elements[PIXEL_DATA], file.elements.get(EXTENDED_OFFSET_TABLE)
        instance = InstanceFile(file.path, file.size_bytes, file.transfer_syntax_uid, header, None, pixel_data, table)
        encapsulated = FrameFile(instance, n_frames, None)
        reader = FrameReader(n_frames, media_type, file.transfer_syntax_uid, encapsulated)
        weakref.finalize(reader, encapsulated.close)
        return reader
    for tag in (PIXEL_DATA, *_FLOAT_BITS):
        if tag in file.elements:
            element = file.elements[tag]
            native = _NativeFrames(file, Span(element.start, element.stop), n_frames, _frame_bits(header, tag))
            return FrameReader(n_frames, OCTET_STREAM, EXPLICIT_VR, native)
    raise MissingInputError("the instance has no pixel data")


def _frame_bits(header: Dataset, tag: int) -> int:
    """Bits of a native frame."""
    n_values = (read_int(header, "Rows") or 0) * (read_int(header, "Columns") or 0)
    n_values *= read_int(header, "SamplesPerPixel") or 1
    if tag in _FLOAT_BITS:
        return n_values * _FLOAT_BITS[tag]
    if read_text(header, "PhotometricInterpretation") == "YBR_FULL_422":
        n_values = n_values * 2 // 3  # two pixels share their chrominance (PS3.3 C.7.6.3.1.2)
    return n_values * (read_int(header, "BitsAllocated") or 0)


class _NativeFrames:
    """Frames one behind the other; those of one bit per pixel may begin within a byte (PS3.5 8.1.1)."""

    def __init__(self, file: Part10File, pixel_data: Span, n_frames: int, n_bits: int) -> None:
        if n_bits == 0 or pixel_data.n_bytes * 8 < n_frames * n_bits:
            msg = (
                f"its pixel data have {pixel_data.n_bytes} bytes, {n_frames} frames need {-(-n_frames * n_bits // 8)}; "
                "send the instance again"
            )
            raise DamagedInstanceError(msg)
        self._file = file
        self._start = pixel_data.start
        self._n_bits = n_bits

    def read(self, frame: int) -> bytes:
        """Read a frame, from 0, its first pixel in the lowest bit of the first byte."""
        first, last = frame * self._n_bits, (frame + 1) * self._n_bits
        data = self._file.read(Span(self._start + first // 8, self._start - (-last // 8)))
        if first % 8 == 0 and last % 8 == 0:
            return data
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return np.packbits(bits[first % 8 : first % 8 + self._n_bits], bitorder="little").tobytes()
