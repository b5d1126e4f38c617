"""What an encoded frame says about itself, read before any decoder touches it.

A frame whose header names another size than the instance is refused here: it is damaged, or made to exhaust memory.
"""

import struct
from dataclasses import dataclass
from typing import Final

from vst_dicom.domain.errors import DamagedInstanceError

_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF markers of ISO/IEC 10918-1 table B.1: not DHT, JPG and DAC, which lie between them."""

_START_OF_FRAME_LS: Final = 0xF7
_START_OF_SCAN: Final = 0xDA
END_OF_IMAGE: Final = b"\xff\xd9"
"""EOI of JPEG, EOC of JPEG 2000."""

_APP0: Final = 0xE0
_APP14: Final = 0xEE

_JPEG_XL_CONTAINER: Final = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_JPEG_XL_CODESTREAM: Final = b"\xff\x0a"
_JPEG_XL_RATIOS: Final = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_JPEG_XL_SIZE_BITS: Final = (9, 13, 18, 30)


@dataclass(frozen=True, slots=True)
class CodestreamHead:
    """Header of an encoded frame.

    Parameters
    ----------
    n_rows, n_columns
        Size of the image.
    n_components
        Color components; 0 where the header was not read so far.
    bits
        Bits of a sample; 0 where the header was not read so far.
    subsampled
        Whether components have different resolutions.
    marked
        JPEG: whether a JFIF or Adobe marker states the color space.
    component_transform
        JPEG 2000: whether the decoder itself returns to red, green and blue.
    n_resolutions
        JPEG 2000: how many times the image can be halved on decoding.
    n_bytes
        JPEG: bytes up to the end of what was read. A frame that begins with the same bytes has the same header.
    """

    n_rows: int
    n_columns: int
    n_components: int = 0
    bits: int = 0
    subsampled: bool = False
    marked: bool = False
    component_transform: bool = False
    n_resolutions: int = 0
    n_bytes: int = 0


def read_jpeg_head(data: bytes) -> CodestreamHead:
    """Read the markers of JPEG (ISO/IEC 10918-1 B.2) or JPEG-LS (ISO/IEC 14495-1 C.2) up to the start of the frame.

    Raises
    ------
    DamagedInstanceError
        If the frame does not begin as such a codestream or does not end with its end marker.
    """
    if data[:2] != b"\xff\xd8":
        raise DamagedInstanceError("the frame does not begin as JPEG")
    _check_end(data)
    marked = False
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _START_OF_FRAME or marker == _START_OF_FRAME_LS:
            return _read_start_of_frame(data, position + 4, length - 2, marked=marked)
        if marker == _START_OF_SCAN:
            break
        segment = data[position + 4 : position + 4 + 5]
        marked = marked or (marker == _APP0 and segment == b"JFIF\0") or (marker == _APP14 and segment == b"Adobe")
        position += 2 + max(length, 2)
    raise DamagedInstanceError("the frame has no readable JPEG header")


def _read_start_of_frame(data: bytes, position: int, length: int, *, marked: bool) -> CodestreamHead:
    if length < 6 or position + length > len(data):
        raise DamagedInstanceError("the JPEG header of the frame is cut off")
    bits, n_rows, n_columns, n_components = struct.unpack_from(">BHHB", data, position)
    if length < 6 + 3 * n_components:
        raise DamagedInstanceError("the JPEG header of the frame is cut off")
    sampling = {data[position + 7 + 3 * number] for number in range(n_components)}
    return CodestreamHead(
        n_rows,
        n_columns,
        n_components,
        bits,
        subsampled=len(sampling) > 1,
        marked=marked,
        n_bytes=position + 6 + 3 * n_components,
    )


def find_jpeg2000_codestream(data: bytes) -> bytes:
    """Strip the JP2 file format that some writers wrap around the codestream against the standard (PS3.5 A.4.4)."""
    if data[:4] == b"\xff\x4f\xff\x51":
        return data
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096) if data[4:8] == b"jP  " else -1
    if start < 0:
        raise DamagedInstanceError("the frame does not begin as JPEG 2000")
    return data[start:]


def read_jpeg2000_head(data: bytes) -> CodestreamHead:
    """Read SIZ and COD of a JPEG 2000 codestream (ISO/IEC 15444-1 A.5.1 and A.6.1), also of HTJ2K.

    Raises
    ------
    DamagedInstanceError
        If they are missing or contradict each other, or the codestream does not end with its end marker.
    """
    _check_end(data)
    try:
        length, _, x1, y1, x0, y0, *_tiles, n_components = struct.unpack_from(">HHIIIIIIIIH", data, 4)
        parts = [struct.unpack_from(">BBB", data, 42 + 3 * number) for number in range(min(n_components, 4))]
        position = 4 + length
        while data[position : position + 2] != b"\xff\x52":
            if data[position] != 0xFF or data[position + 1] in (0x90, 0xD9):
                raise DamagedInstanceError("the frame has no JPEG 2000 coding style")
            position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])
        component_transform, n_resolutions = struct.unpack_from(">xxxBB", data, position + 5)
    except (struct.error, IndexError) as error:
        raise DamagedInstanceError("the JPEG 2000 header of the frame is cut off") from error
    return CodestreamHead(
        n_rows=y1 - y0,
        n_columns=x1 - x0,
        n_components=n_components,
        bits=max((depth & 0x7F) + 1 for depth, _, _ in parts) if parts else 0,
        subsampled=any((dx, dy) != (1, 1) for _, dx, dy in parts),
        component_transform=bool(component_transform),
        n_resolutions=n_resolutions,
    )


def read_jpeg_xl_head(data: bytes) -> CodestreamHead:
    """Read the size header of JPEG XL (ISO/IEC 18181-1 D.2), bare or in its container (ISO/IEC 18181-2).

    Raises
    ------
    DamagedInstanceError
        If the frame does not begin as JPEG XL.
    """
    start = 0
    if data.startswith(_JPEG_XL_CONTAINER):
        box = max(data.find(b"jxlc", 0, 4096), data.find(b"jxlp", 0, 4096) + 4)
        start = data.find(_JPEG_XL_CODESTREAM, box, box + 8) if box > 3 else -1
    if start < 0 or data[start : start + 2] != _JPEG_XL_CODESTREAM:
        raise DamagedInstanceError("the frame does not begin as JPEG XL")
    bits = int.from_bytes(data[start + 2 : start + 14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    def take_size(*, small: bool) -> int:
        return (take(5) + 1) * 8 if small else take(_JPEG_XL_SIZE_BITS[take(2)]) + 1

    small = bool(take(1))
    n_rows = take_size(small=small)
    ratio = _JPEG_XL_RATIOS[take(3)]
    n_columns = take_size(small=small) if ratio is None else n_rows * ratio[0] // ratio[1]
    return CodestreamHead(n_rows, n_columns)


def _check_end(data: bytes) -> None:
    """Require the end marker FFD9, before nothing but padding: half a frame decodes to half a picture."""
    if not data[-64:].rstrip(b"\0").endswith(END_OF_IMAGE):
        raise DamagedInstanceError("the frame is cut off: its end marker is missing")
