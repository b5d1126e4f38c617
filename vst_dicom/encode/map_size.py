"""How large Parametric Maps become, known before any of them is made."""

from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom import dcmwrite

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.forms import Encoding, MapCompression, MapPixels
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode import map_image
from vst_dicom.encode.map_frames import encode_frame, float_mapping, linear_mapping
from vst_dicom.encode.map_layers import Layer
from vst_dicom.encode.map_object import start_parametric_map
from vst_dicom.encode.map_values import compressed_bytes
from vst_dicom.encode.provenance import PARAMETRIC_MAP

_FURTHER_BYTES: Final = 1024
"""Of file meta information, window and pixel description, and of a longer description of the series."""

_ITEM_BYTES: Final = 13
"""Of a compressed frame's item tag, length, offset and padding."""

_MOST_BYTES: Final = (1 << 32) - 2
"""Longest value of an element (PS3.5 7.1.1), and what 32 bit offsets of compressed frames reach."""


@dataclass(frozen=True, slots=True)
class MapSize:
    """Upper bound of an object's size.

    Parameters
    ----------
    head_bytes
        What it says before its frames.
    frame_bytes
        Of the largest frame, its description and its pixels.
    """

    head_bytes: int
    frame_bytes: int

    def of(self, n_channels: int) -> int:
        """Bytes of a file with this many channels."""
        return self.head_bytes + n_channels * self.frame_bytes


def predict_size(source: SourceSlide, result: SlideResult, layer: Layer, encoding: Encoding) -> MapSize:
    """Predict how large the objects of a layer become."""
    head = BytesIO()
    start = start_parametric_map(source, result, PARAMETRIC_MAP, layer.note)
    dcmwrite(head, start, implicit_vr=False, little_endian=True)
    position = map_image.encode_position(source.plane.coarsened(result.grid.tile_size))
    mapped = float_mapping(0, 1) if encoding.map_pixels is MapPixels.FLOAT32 else linear_mapping(1, 0)
    described = max(len(encode_frame(1, channel, position, mapped)) for channel in layer.channels)
    return MapSize(len(head.getvalue()) + _FURTHER_BYTES, described + _pixel_bytes(result.grid.size, encoding))


def count_channels_that_fit(size: MapSize, layer: Layer, encoding: Encoding) -> int:
    """How many channels of a layer one object may have.

    Raises
    ------
    UsageError
        If not even one fits.
    """
    most_bytes = min(encoding.largest_object_bytes, _MOST_BYTES)
    if size.of(1) > most_bytes:
        msg = (
            f"one map of '{layer.title}' has up to {size.of(1)} bytes, but objects may have {most_bytes} at most; "
            "allow larger ones with encode.largest_object_bytes, or leave out the form pm"
        )
        raise UsageError(msg)
    return (most_bytes - size.head_bytes) // size.frame_bytes


def _pixel_bytes(size: MatrixSize, encoding: Encoding) -> int:
    n_pixels = size.n_rows * size.n_columns
    if encoding.map_pixels is MapPixels.FLOAT32:
        return 4 * n_pixels
    if encoding.map_compression is MapCompression.JPEG_LS:
        return compressed_bytes(2 * n_pixels) + _ITEM_BYTES
    return 2 * n_pixels
