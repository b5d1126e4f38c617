"""What all Segmentations share (PS3.3 A.51): segments, and frames of one pixel per tile."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import Gene
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode import colors, map_image
from vst_dicom.encode.provenance import (
    ResultKind,
    algorithm_identification,
    copy_lossy_compression,
    derivation,
    describe_content,
    plain,
    result_uid,
    start_object,
)

_SEGMENT_IDENTIFICATION: Final = 0x0062000A
_SEGMENT_NUMBER: Final = 0x0062000B
_PIXEL_DATA: Final = 0x7FE00010

_MAX_SHORT_TEXT: Final = 1024
"""Longest short text (PS3.5 6.2), such as Segment Description (0062,0006)."""

_NOMINAL_THICKNESS_MM: Final = 0.001
"""Slice Thickness (0018,0050) where the slide states none: a Segmentation must have one, and not zero."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What a segment shows.

    Parameters
    ----------
    label
        What people read; unique within the object.
    category, kind
        Segmented Property Category and Type (PS3.3 C.8.20.2).
    color
        To draw it in.
    gene
        Whose expression; None for tissue.
    description
        Segment Description (0062,0006); left out where empty.
    """

    label: str
    category: codes.Code
    kind: codes.Code
    color: colors.RGB
    gene: Gene | None = None
    description: str = ""


TISSUE: Final = Segment("Tissue", codes.TISSUE, codes.TISSUE, colors.TISSUE)
"""All that was looked at."""


def class_segment(tissue_class: int) -> Segment:
    """Segment of a class, index into `vst_dicom.domain.tissue.TISSUE_CLASSES`."""
    kind = codes.tissue_class_code(tissue_class)
    return Segment(kind.meaning, codes.TISSUE, kind, colors.TISSUE_CLASSES[tissue_class])


def start_segmentation(
    source: SourceSlide,
    result: SlideResult,
    kind: ResultKind,
    content_label: str,
    segments: Mapping[int, Segment],
    frame_columns: int,
    *,
    frame_per_segment: bool = True,
) -> Dataset:
    """Begin a Segmentation with everything but its type and its pixels.

    Parameters
    ----------
    source, result
        The slide and its predictions.
    kind
        Which of the objects of the result.
    content_label
        (0070,0080), at most 16 characters.
    segments
        By Segment Number (0062,0004).
    frame_columns
        Columns of a frame; it may reach beyond the grid.
    frame_per_segment
        Whether each segment has a frame of its own, in the order of `segments`; else one frame holds them all, as in a
        label map.
    """
    dataset = start_object(source, result, kind)
    plane = map_image.place_map(dataset, source, result, frame_columns)
    describe_content(dataset, content_label)
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    copy_lossy_compression(dataset, source)
    channel = (_SEGMENT_NUMBER, _SEGMENT_IDENTIFICATION, "Segment") if frame_per_segment else None
    map_image.set_dimensions(dataset, source, result, channel, kind.name)
    shared = map_image.shared_groups(source, plane)
    if "SliceThickness" not in shared.PixelMeasuresSequence[0]:
        shared.PixelMeasuresSequence[0].SliceThickness = _NOMINAL_THICKNESS_MM
    shared.DerivationImageSequence = [derivation(source, codes.SEGMENTATION)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.SegmentSequence = [_describe(source, result, kind, number, segment) for number, segment in segments.items()]
    if frame_per_segment:
        dataset.PerFrameFunctionalGroupsSequence = []
        for index, number in enumerate(segments, start=1):
            identification = Dataset()
            identification.ReferencedSegmentNumber = number
            groups = map_image.frame_groups(plane, index)
            groups.SegmentIdentificationSequence = [identification]
            dataset.PerFrameFunctionalGroupsSequence.append(groups)
    else:
        dataset.PerFrameFunctionalGroupsSequence = [map_image.frame_groups(plane, None)]
    dataset.NumberOfFrames = len(dataset.PerFrameFunctionalGroupsSequence)
    return dataset


def set_pixels(dataset: Dataset, pixels: NDArray[np.uint8], bits_allocated: int) -> None:
    """Add Pixel Data (7FE0,0010) as bytes of even length.

    Parameters
    ----------
    dataset
        The Segmentation.
    pixels
        Encoded pixels of all frames.
    bits_allocated
        (0028,0100): 1 where eight pixels share a byte, else 8.
    """
    dataset.BitsAllocated = dataset.BitsStored = bits_allocated
    dataset.HighBit = bits_allocated - 1
    encoded = pixels.tobytes()
    dataset.add_new(_PIXEL_DATA, "OB", encoded + b"\0" * (len(encoded) % 2))


def read_frames(dataset: Dataset) -> NDArray[np.uint8]:
    """Decode all frames of what was written, shape ``(n_frames, n_rows, n_columns)``."""
    shape = (int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)
    return np.asarray(dataset.pixel_array, dtype=np.uint8).reshape(shape)


def _describe(
    source: SourceSlide, result: SlideResult, object_kind: ResultKind, number: int, shown: Segment
) -> Dataset:
    """Make an item of Segment Sequence; its type names the gene because viewers show the type, not the modifier."""
    segment = Dataset()
    segment.SegmentNumber = number
    segment.SegmentLabel = plain(shown.label)
    if shown.description:
        segment.SegmentDescription = plain(shown.description, _MAX_SHORT_TEXT)
    segment.SegmentAlgorithmType = "AUTOMATIC"
    segment.SegmentAlgorithmName = plain(result.bundle.bundle_id)
    segment.SegmentationAlgorithmIdentificationSequence = [algorithm_identification(result.bundle)]
    segment.TrackingID = plain(shown.label)
    segment.TrackingUID = result_uid(source, result, object_kind.name, "segment", shown.label)
    segment.RecommendedDisplayCIELabValue = colors.to_cielab_value(shown.color)
    kind = shown.kind.to_item()
    if shown.gene is not None:
        kind.SegmentedPropertyTypeModifierCodeSequence = [codes.gene_code(shown.gene).to_item()]
    segment.SegmentedPropertyCategoryCodeSequence = [shown.category.to_item()]
    segment.SegmentedPropertyTypeCodeSequence = [kind]
    return segment
