"""Parametric Maps (PS3.3 A.75): one instance per series, one frame per channel, one pixel per tile."""

from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from vst_dicom.dicom import codes
from vst_dicom.dicom.array_pixels import ArrayPixels
from vst_dicom.dicom.encoded import add_encoded_sequence
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.errors import EncodingError
from vst_dicom.domain.forms import Encoding, MapCompression, MapPixels
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode import map_image
from vst_dicom.encode.map_frames import encode_frame, float_mapping, linear_mapping
from vst_dicom.encode.map_layers import MapSeries
from vst_dicom.encode.map_values import (
    FIRST,
    LAST,
    LinearMapping,
    ValueRange,
    compressed_bytes,
    padding_below,
    store_as_they_are,
    store_whole_numbers,
)
from vst_dicom.encode.placement import to_decimal
from vst_dicom.encode.provenance import (
    ResultKind,
    copy_lossy_compression,
    derivation,
    describe_content,
    leave_laterality_unknown,
    plain,
    start_object,
)

IMAGE_TYPE: Final = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]

_MAPPING: Final = 0x00409096
"""Real World Value Mapping Sequence."""

_LABEL: Final = 0x00409210
"""LUT Label, a short string."""

_MAX_SHORT_TEXT: Final = 1024
"""Longest short text (PS3.5 6.2), such as Derivation Description (0008,2111)."""


def encode_parametric_map(source: SourceSlide, result: SlideResult, shown: MapSeries, encoding: Encoding) -> Dataset:
    """Encode maps.

    Stored values are whole numbers, each channel with its own linear mapping, because viewers and archives fail on
    floating point pixels, unless these are asked for. Frames cover the whole map, so the number of per-frame items is
    the number of channels.

    Parameters
    ----------
    source
        The slide.
    result
        Its predictions.
    shown
        What of them.
    encoding
        How pixels are stored.

    Returns
    -------
    Dataset
        A Parametric Map without file meta information.

    Raises
    ------
    EncodingError
        If compression makes a map much larger.
    """
    dataset = start_parametric_map(source, result, shown.kind, shown.note)
    dataset.NumberOfFrames = len(shown.channels)
    span = ValueRange.of(shown.values)
    if encoding.map_pixels is MapPixels.FLOAT32:
        window = _add_floats(dataset, result, shown, span)
        mappings = [float_mapping(*limits) for limits in zip(span.least, span.greatest, strict=True)]
    else:
        mapping = LinearMapping.over(span)
        window = _add_whole_numbers(dataset, result, shown, mapping, encoding.map_compression)
        mappings = [linear_mapping(*line) for line in zip(mapping.slope, mapping.intercept, strict=True)]

    voi = Dataset()
    voi.WindowCenter, voi.WindowWidth = (to_decimal(value) for value in window)
    dataset.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence = [voi]
    position = map_image.encode_position(source.plane.coarsened(result.grid.tile_size))
    frames = [
        encode_frame(number, channel, position, mapped)
        for number, (channel, mapped) in enumerate(zip(shown.channels, mappings, strict=True), start=1)
    ]
    add_encoded_sequence(dataset, "PerFrameFunctionalGroupsSequence", *frames)
    return dataset


def start_parametric_map(source: SourceSlide, result: SlideResult, kind: ResultKind, note: str) -> Dataset:
    """Begin a Parametric Map with everything but its frames and the window that they are looked at through."""
    dataset = start_object(source, result, kind)
    plane = map_image.place_map(dataset, source, result, frame_columns=result.grid.size.n_columns)
    describe_content(dataset, "HEATMAP")  # what older viewers look for
    dataset.ImageType = IMAGE_TYPE
    dataset.ContentQualification = "RESEARCH"
    dataset.PixelPresentation = "MONOCHROME"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.BurnedInAnnotation = "NO"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.AcquisitionContextSequence = []
    leave_laterality_unknown(dataset)
    copy_lossy_compression(dataset, source)
    map_image.set_dimensions(dataset, source, result, (_LABEL, _MAPPING, "Channel"), kind.name)
    shared = map_image.shared_groups(source, plane)
    transform, frame_type = Dataset(), Dataset()
    transform.RescaleIntercept, transform.RescaleSlope, transform.RescaleType = 0, 1, "US"
    frame_type.FrameType = IMAGE_TYPE
    derived = derivation(source, codes.INFERRED_FROM_MORPHOLOGY)
    if note:
        derived.DerivationDescription = plain(note, _MAX_SHORT_TEXT)
    shared.PixelValueTransformationSequence = [transform]
    shared.ParametricMapFrameTypeSequence = [frame_type]
    shared.DerivationImageSequence = [derived]
    dataset.SharedFunctionalGroupsSequence = [shared]
    return dataset


def transfer_syntax(encoding: Encoding) -> str:
    """UID of the transfer syntax in which maps are written."""
    return str(JPEGLSLossless if encoding.map_compression is MapCompression.JPEG_LS else ExplicitVRLittleEndian)


def _add_whole_numbers(
    dataset: Dataset, result: SlideResult, shown: MapSeries, mapping: LinearMapping, compression: MapCompression
) -> tuple[float, float]:
    """Add pixels of 16 bits; returns center and width of the window."""
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    stored = store_whole_numbers(shown.values, result.grid, mapping)
    if compression is MapCompression.JPEG_LS:
        dataset.add_new(0x7FE00010, "OB", _compress(stored))
    else:
        dataset.add_new(0x7FE00010, "OW", ArrayPixels(stored))
    return (FIRST + LAST) / 2, LAST - FIRST + 1


def _compress(stored: NDArray[np.uint16]) -> BytesIO:
    """Encode frames by JPEG-LS without loss, one fragment each, behind their Basic Offset Table (PS3.5 A.4)."""
    import imagecodecs

    most = compressed_bytes(stored[0].nbytes)
    try:
        return BytesIO(encapsulate([bytes(imagecodecs.jpegls_encode(frame, out=most)) for frame in stored]))
    except imagecodecs.JpeglsError as error:
        msg = f"JPEG-LS makes a map larger than {most} bytes; choose map_compression none"
        raise EncodingError(msg) from error


def _add_floats(dataset: Dataset, result: SlideResult, shown: MapSeries, span: ValueRange) -> tuple[float, float]:
    """Add floating point pixels, PS3.3 C.7.6.24; returns center and width of the window."""
    del dataset.PixelRepresentation
    dataset.BitsAllocated = 32
    padding = padding_below(span)
    dataset.FloatPixelPaddingValue = dataset.FloatPixelPaddingRangeLimit = padding
    stored = store_as_they_are(shown.values, result.grid, padding)
    dataset.add_new(0x7FE00008, "OF", ArrayPixels(stored))
    least, greatest = float(span.least.min()), float(span.greatest.max())
    return (least + greatest) / 2, max(greatest - least, 1.0)
