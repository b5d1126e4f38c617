"""Decode one frame to red, green, blue: one table, one line per transfer syntax."""

import io
import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import UID

from vst_dicom.domain.errors import DamagedInstanceError, ResourceError, UnsupportedInstanceError, VstDicomError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import RgbImage
from vst_dicom.slide.codestream import (
    END_OF_IMAGE,
    CodestreamHead,
    find_jpeg2000_codestream,
    read_jpeg2000_head,
    read_jpeg_head,
    read_jpeg_xl_head,
)

_APP14_RGB: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Adobe marker that states: no color transform."""

_ENDS: Final = (END_OF_IMAGE, END_OF_IMAGE + b"\0")
"""How a whole JPEG ends, with a byte of padding where its length is odd (PS3.5 A.4)."""

_COLOR: Final = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "XYB"})
"""Photometric Interpretations of color images that can come (PS3.3 C.7.6.3.1.2)."""


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """How the frames of an instance are encoded.

    Parameters
    ----------
    size
        Rows (0028,0010) and Columns (0028,0011).
    transfer_syntax_uid
        (0002,0010).
    photometric_interpretation
        (0028,0004).
    planar_configuration
        (0028,0006): 0 color by pixel, 1 color by plane; matters for native frames only.
    """

    size: MatrixSize
    transfer_syntax_uid: str
    photometric_interpretation: str
    planar_configuration: int = 0

    @property
    def native_bytes(self) -> int | None:
        """Bytes of a native frame; None where frames are encapsulated."""
        if _CODECS[self.transfer_syntax_uid].encapsulated:
            return None
        return self.size.n_rows * self.size.n_columns * 3


def check_transfer_syntax(transfer_syntax_uid: str) -> None:
    """Refuse what no decoder here reads.

    Raises
    ------
    UnsupportedInstanceError
        Naming the transfer syntax.
    """
    if transfer_syntax_uid not in _CODECS:
        syntax = UID(transfer_syntax_uid).name if transfer_syntax_uid else "none"
        msg = (
            f"transfer syntax {syntax} ({transfer_syntax_uid or 'not stated'}) cannot be decoded; "
            "store the slide as JPEG, JPEG 2000, JPEG-LS, RLE or uncompressed"
        )
        raise UnsupportedInstanceError(msg)


def check_color(samples_per_pixel: int | None, bits_allocated: int | None, photometric_interpretation: str) -> None:
    """Refuse what cannot be an H&E color image.

    Raises
    ------
    UnsupportedInstanceError
        If the image is not 8-bit color.
    """
    if samples_per_pixel != 3 or photometric_interpretation not in _COLOR:
        msg = (
            f"the image is {photometric_interpretation or 'of unknown color'} with {samples_per_pixel} sample(s) per "
            "pixel, not an H&E color image; give a brightfield color slide"
        )
        raise UnsupportedInstanceError(msg)
    if bits_allocated != 8:
        msg = f"the image has {bits_allocated} bits per sample; only 8-bit color is read"
        raise UnsupportedInstanceError(msg)


def check_reduction(size: MatrixSize, reduce: int) -> None:
    """Refuse a fraction that no decoder gives, or that does not divide the frame.

    Raises
    ------
    ValueError
        Naming both.
    """
    if reduce not in (1, 2, 4, 8) or size.n_rows % reduce or size.n_columns % reduce:
        msg = f"a frame of {size.n_rows} x {size.n_columns} cannot be reduced by {reduce}"
        raise ValueError(msg)


def decode_frame(data: bytes, frame_format: FrameFormat, reduce: int = 1) -> RgbImage:
    """Decode a frame, at a fraction of its size if wished.

    The size in the header of the codestream is compared before decoding. JPEG is scaled in its DCT; all others are
    averaged over areas, JPEG 2000 from the resolution next to the wanted one.

    Parameters
    ----------
    data
        The encoded frame.
    frame_format
        How it is encoded.
    reduce
        1, 2, 4 or 8; divides the rows and columns.

    Raises
    ------
    ValueError
        If `reduce` is another number or does not divide the frame.
    DamagedInstanceError
        If the frame cannot be decoded or is not what the instance says.
    UnsupportedInstanceError
        If the codestream is not 8-bit color.
    """
    size = frame_format.size
    check_reduction(size, reduce)
    codec = _CODECS[frame_format.transfer_syntax_uid]
    try:
        image = codec.decode(data, frame_format, reduce)
    except VstDicomError:
        raise
    except Exception as error:
        raise _as_failure(error, codec.name) from error
    expected = (size.n_rows // reduce, size.n_columns // reduce, 3)
    if image.shape != expected and image.shape in _reduced_shapes(size, reduce) and image.dtype == np.uint8:
        image = _average(image, expected)
    if image.shape != expected or image.dtype != np.uint8:
        msg = f"the frame decodes to {image.shape} {image.dtype} instead of {expected} uint8"
        raise DamagedInstanceError(msg)
    return image


class FrameDecoder:
    """Decodes frames of one format into memory of the caller; any number of threads may share it.

    Most JPEG frames of a slide begin with the same bytes, tables and size included. Where a frame begins as one whose
    header was checked, it needs no further look.

    Parameters
    ----------
    frame_format
        How the frames are encoded.
    """

    def __init__(self, frame_format: FrameFormat) -> None:
        self._format = frame_format
        self._checked_start = b""

    def decode(self, data: bytes, reduce: int, memory: RgbImage) -> None:
        """Decode a frame into `memory`, shape ``(n_rows / reduce, n_columns / reduce, 3)``; raises as `decode_frame`."""
        start = self._checked_start
        if start and data.startswith(start) and data.endswith(_ENDS):
            n_rows, n_columns, _ = memory.shape
            try:
                image = simplejpeg.decode_jpeg(
                    data, "RGB", min_height=n_rows, min_width=n_columns, min_factor=reduce, buffer=memory
                )
            except Exception as error:
                raise _as_failure(error, "JPEG") from error
            if image.shape == memory.shape:
                return
        memory[...] = decode_frame(data, self._format, reduce)
        self._checked_start = _repeating_start(data, self._format)


def _repeating_start(data: bytes, frame_format: FrameFormat) -> bytes:
    """Header of a JPEG frame that was checked; empty where frames must be looked at one by one."""
    if _CODECS[frame_format.transfer_syntax_uid].decode is not _decode_jpeg:
        return b""
    head = read_jpeg_head(data)
    return b"" if _is_untransformed(head, frame_format) else data[: head.n_bytes]


def _as_failure(error: Exception, codec_name: str) -> VstDicomError:
    """Say what it means that a decoder failed."""
    if isinstance(error, MemoryError):
        return ResourceError("not enough memory to decode a frame; free memory and try again")
    return DamagedInstanceError(f"the frame cannot be decoded as {codec_name} ({type(error).__name__})")


def _decode_native(data: bytes, frame_format: FrameFormat, _reduce: int) -> RgbImage:
    size = frame_format.size
    samples = np.frombuffer(data, dtype=np.uint8, count=size.n_rows * size.n_columns * 3)  # a pad byte may follow
    if frame_format.photometric_interpretation == "YBR_FULL_422":
        raise UnsupportedInstanceError("uncompressed YBR_FULL_422 is not read; store the slide as RGB or JPEG")
    if frame_format.planar_configuration == 1:
        image = samples.reshape(3, size.n_rows, size.n_columns).transpose(1, 2, 0)
    else:
        image = samples.reshape(size.n_rows, size.n_columns, 3)
    return _to_rgb(np.ascontiguousarray(image), frame_format)


def _decode_rle(data: bytes, frame_format: FrameFormat, _reduce: int) -> RgbImage:
    size = frame_format.size
    n_segments, *offsets = struct.unpack_from("<16I", data)
    if n_segments != 3:
        msg = f"the RLE frame has {n_segments} segments instead of 3"
        raise DamagedInstanceError(msg)
    bounds = [*offsets[:3], len(data)]
    n_pixels = size.n_rows * size.n_columns
    planes = []
    for start, stop in itertools.pairwise(bounds):
        if not 64 <= start < stop <= len(data):
            raise DamagedInstanceError("the segments of the RLE frame lie outside of it")
        plane = np.frombuffer(imagecodecs.packbits_decode(data[start:stop]), dtype=np.uint8)
        planes.append(plane[:n_pixels].reshape(size.n_rows, size.n_columns))  # a pad byte may follow
    return _to_rgb(np.stack(planes, axis=-1), frame_format)


def _decode_jpeg(data: bytes, frame_format: FrameFormat, reduce: int) -> RgbImage:
    """JPEG: the markers decide the color space, as with all decoders in use.

    Without a marker a decoder assumes YCbCr. An instance that says RGB, with full color resolution and no marker,
    was stored without color transform, and that is told to the decoder. One that says RGB but is subsampled or
    carries a JFIF marker is YCbCr whatever it says.
    """
    head = read_jpeg_head(data)
    _check_head(head, frame_format)
    if _is_untransformed(head, frame_format):
        data = data[:2] + _APP14_RGB + data[2:]
    size = frame_format.size
    image: RgbImage = simplejpeg.decode_jpeg(
        data, "RGB", min_height=size.n_rows // reduce, min_width=size.n_columns // reduce, min_factor=reduce
    )
    return image


def _is_untransformed(head: CodestreamHead, frame_format: FrameFormat) -> bool:
    """Whether a JPEG holds red, green and blue although it does not say so."""
    return frame_format.photometric_interpretation == "RGB" and not head.marked and not head.subsampled


def _decode_jpeg_ls(data: bytes, frame_format: FrameFormat, _reduce: int) -> RgbImage:
    _check_head(read_jpeg_head(data), frame_format)
    return _to_rgb(imagecodecs.jpegls_decode(data), frame_format)


def _decode_jpeg2000(data: bytes, frame_format: FrameFormat, reduce: int) -> RgbImage:
    """JPEG 2000 and HTJ2K, whose block coder OpenJPEG reads as well.

    Resolutions are left out down to twice the wanted size only: the wavelet's halves are sharper than area averages,
    and a model must see the same picture whatever the encoding.
    """
    codestream = find_jpeg2000_codestream(data)
    head = read_jpeg2000_head(codestream)
    _check_head(head, frame_format)
    if head.subsampled:
        raise UnsupportedInstanceError("JPEG 2000 with subsampled color is not read")
    halvings = min(reduce.bit_length() - 2, head.n_resolutions)
    if halvings > 0:
        with Image.open(io.BytesIO(codestream), formats=["JPEG2000"]) as picture:
            picture.reduce = halvings  # type: ignore[assignment, method-assign]
            image: RgbImage = np.asarray(picture)
    else:
        image = imagecodecs.jpeg2k_decode(codestream, numthreads=1)
    if head.component_transform:
        return image
    if frame_format.photometric_interpretation == "YBR_RCT":
        raise DamagedInstanceError("Photometric Interpretation is YBR_RCT, but the frame has no component transform")
    return _to_rgb(image, frame_format)


def _decode_jpeg_xl(data: bytes, frame_format: FrameFormat, _reduce: int) -> RgbImage:
    _check_head(read_jpeg_xl_head(data), frame_format)
    image: RgbImage = imagecodecs.jpegxl_decode(data, numthreads=1)
    return image


def _check_head(head: CodestreamHead, frame_format: FrameFormat) -> None:
    size = frame_format.size
    if (head.n_rows, head.n_columns) != (size.n_rows, size.n_columns):
        msg = (
            f"the frame says {head.n_rows} x {head.n_columns} pixels, "
            f"the instance {size.n_rows} x {size.n_columns} (Rows x Columns)"
        )
        raise DamagedInstanceError(msg)
    if head.n_components not in (0, 3) or head.bits not in (0, 8):
        msg = f"the frame has {head.n_components} components of {head.bits} bits; only 8-bit color is read"
        raise UnsupportedInstanceError(msg)


def _to_rgb(image: NDArray[np.uint8], frame_format: FrameFormat) -> RgbImage:
    """Leave YCbCr in full range (PS3.3 C.7.6.3.1.2) where the samples are still in it."""
    if not frame_format.photometric_interpretation.startswith("YBR"):
        return image
    import cv2

    rgb: Any = cv2.cvtColor(np.ascontiguousarray(image[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
    return np.asarray(rgb, dtype=np.uint8)


def _reduced_shapes(size: MatrixSize, reduce: int) -> set[tuple[int, int, int]]:
    """Shapes larger than the wanted one that a decoder may rightly return."""
    return {(size.n_rows // part, size.n_columns // part, 3) for part in (1, 2, 4) if part < reduce}


def _average(image: RgbImage, shape: tuple[int, int, int]) -> RgbImage:
    import cv2

    n_rows, n_columns, _ = shape
    area: Any = cv2.resize(np.ascontiguousarray(image), (n_columns, n_rows), interpolation=cv2.INTER_AREA)
    return np.asarray(area, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class _Codec:
    name: str
    decode: Callable[[bytes, FrameFormat, int], RgbImage]
    encapsulated: bool = True


_CODECS: Final[dict[str, _Codec]] = {
    "1.2.840.10008.1.2": _Codec("Implicit VR Little Endian", _decode_native, encapsulated=False),  # A.1
    "1.2.840.10008.1.2.1": _Codec("Explicit VR Little Endian", _decode_native, encapsulated=False),  # A.2
    "1.2.840.10008.1.2.1.98": _Codec("Encapsulated Uncompressed", _decode_native),  # A.4
    "1.2.840.10008.1.2.5": _Codec("RLE Lossless", _decode_rle),  # A.4.2, Annex G
    "1.2.840.10008.1.2.4.50": _Codec("JPEG Baseline", _decode_jpeg),  # A.4.1, 8.2.1
    "1.2.840.10008.1.2.4.51": _Codec("JPEG Extended", _decode_jpeg),  # A.4.1, 8.2.1; 8 bits only
    "1.2.840.10008.1.2.4.80": _Codec("JPEG-LS Lossless", _decode_jpeg_ls),  # A.4.3, 8.2.3
    "1.2.840.10008.1.2.4.81": _Codec("JPEG-LS Near-Lossless", _decode_jpeg_ls),  # A.4.3, 8.2.3
    "1.2.840.10008.1.2.4.90": _Codec("JPEG 2000 Lossless", _decode_jpeg2000),  # A.4.4, 8.2.4
    "1.2.840.10008.1.2.4.91": _Codec("JPEG 2000", _decode_jpeg2000),  # A.4.4, 8.2.4
    "1.2.840.10008.1.2.4.201": _Codec("HTJ2K Lossless", _decode_jpeg2000),  # 10.18, F.4
    "1.2.840.10008.1.2.4.202": _Codec("HTJ2K Lossless RPCL", _decode_jpeg2000),  # 10.18, F.4
    "1.2.840.10008.1.2.4.203": _Codec("HTJ2K", _decode_jpeg2000),  # 10.18, F.4
    "1.2.840.10008.1.2.4.110": _Codec("JPEG XL Lossless", _decode_jpeg_xl),  # 8.2.15
    "1.2.840.10008.1.2.4.111": _Codec("JPEG XL JPEG Recompression", _decode_jpeg_xl),  # 8.2.15
    "1.2.840.10008.1.2.4.112": _Codec("JPEG XL", _decode_jpeg_xl),  # 8.2.15
}
"""Decoder of each transfer syntax; the comment names its sections in PS3.5."""
