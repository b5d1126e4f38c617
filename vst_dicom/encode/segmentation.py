"""Tissue, its classes and hotspots as a binary Segmentation (PS3.3 A.51): one pixel per tile, one frame per segment."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import Gene
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.result import SlideResult
from vst_dicom.domain.wording import HOTSPOT
from vst_dicom.encode import colors, map_image
from vst_dicom.encode.objects import ResultObject, require
from vst_dicom.encode.outlines import hotspots_by_gene
from vst_dicom.encode.provenance import (
    SEGMENTATION,
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

_MAX_SHORT_TEXT: Final = 1024
"""Longest short text (PS3.5 6.2), such as Segment Description (0062,0006)."""

_NOMINAL_THICKNESS_MM: Final = 0.001
"""Slice Thickness (0018,0050) where the slide states none: a Segmentation must have one, and not zero."""


def segmentation_objects(source: SourceSlide, result: SlideResult, encoding: Encoding) -> list[ResultObject]:
    """Segmentations of a result, each in a series of its own."""
    del encoding
    return [
        ResultObject(
            SEGMENTATION,
            lambda: encode_segmentation(source, result),
            lambda dataset: _check(dataset, source, result),
            tuple("" if segment.gene is None else segment.gene.symbol for segment in _segments(result)),
        )
    ]


def encode_segmentation(source: SourceSlide, result: SlideResult) -> Dataset:
    """Encode the tissue that was looked at, its classes where they are known and, gene by gene, hotspots.

    Frames are as wide as the next multiple of 8, since an archive may refuse to hand out other 1-bit frames; the
    columns beyond the total pixel matrix are 0. The hotspots of one gene form one segment, a gene without
    any has none; their outlines one by one stand in the annotations and the report.

    Parameters
    ----------
    source
        The slide.
    result
        Its predictions.

    Returns
    -------
    Dataset
        A Segmentation without file meta information.
    """
    frame_columns = -(-result.grid.size.n_columns // 8) * 8
    dataset = start_object(source, result, SEGMENTATION)
    plane = map_image.place_map(dataset, source, result, frame_columns)
    describe_content(dataset, "TISSUE_REGIONS")
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.SegmentationType = "BINARY"
    dataset.SegmentsOverlap = "YES"
    copy_lossy_compression(dataset, source)
    channel = (_SEGMENT_NUMBER, _SEGMENT_IDENTIFICATION, "Segment")
    map_image.set_dimensions(dataset, source, result, channel, SEGMENTATION.name)
    shared = map_image.shared_groups(source, plane)
    if "SliceThickness" not in shared.PixelMeasuresSequence[0]:
        shared.PixelMeasuresSequence[0].SliceThickness = _NOMINAL_THICKNESS_MM
    shared.DerivationImageSequence = [derivation(source, codes.SEGMENTATION)]
    dataset.SharedFunctionalGroupsSequence = [shared]

    segments = _segments(result)
    dataset.SegmentSequence = [
        _describe(source, result, number, segment) for number, segment in enumerate(segments, start=1)
    ]
    dataset.PerFrameFunctionalGroupsSequence = []
    for number in range(1, len(segments) + 1):
        identification = Dataset()
        identification.ReferencedSegmentNumber = number
        groups = map_image.frame_groups(plane, number)
        groups.SegmentIdentificationSequence = [identification]
        dataset.PerFrameFunctionalGroupsSequence.append(groups)

    dataset.NumberOfFrames = len(segments)
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    masks = np.zeros((len(segments), result.grid.size.n_rows, frame_columns), dtype=np.bool_)
    masks[:, :, : result.grid.size.n_columns] = segment_masks(result)
    packed = np.packbits(masks, bitorder="little").tobytes()
    dataset.add_new(0x7FE00010, "OB", packed + b"\0" * (len(packed) % 2))
    return dataset


@dataclass(frozen=True, eq=False)
class _Segment:
    """What a segment shows.

    Parameters
    ----------
    label
        What people read.
    category, kind
        Segmented Property Category and Type (PS3.3 C.8.20.2).
    gene
        Whose expression; None for tissue.
    color
        To draw it in.
    tiles
        Which tiles belong to it, shape ``(n,)``.
    """

    label: str
    category: codes.Code
    kind: codes.Code
    gene: Gene | None
    color: colors.RGB
    tiles: NDArray[np.int64]


def segment_masks(result: SlideResult) -> NDArray[np.bool_]:
    """Where each segment lies, shape ``(n_segments, n_rows, n_columns)``: tissue, its classes, genes with hotspots.

    Tissue is all that was looked at, masked tiles included: they have no values, but tissue they are.
    """
    segments = _segments(result)
    inside = np.zeros((len(result.grid), len(segments)), dtype=np.bool_)
    for column, segment in enumerate(segments):
        inside[segment.tiles, column] = True
    masks = result.grid.place(inside, fill=False)
    masks[0, result.masked_cells[:, 0], result.masked_cells[:, 1]] = True
    return masks


def _segments(result: SlideResult) -> list[_Segment]:
    """All tissue, then the classes that occur, then the genes that have hotspots; the others have no segment."""
    everything = np.arange(len(result.grid), dtype=np.int64)
    segments = [_Segment("Tissue", codes.TISSUE, codes.TISSUE, None, colors.TISSUE, everything)]
    for tissue_class in () if result.tissue_class is None else np.unique(result.tissue_class).tolist():
        kind, color = codes.tissue_class_code(tissue_class), colors.TISSUE_CLASSES[tissue_class]
        tiles = np.flatnonzero(result.tissue_class == tissue_class)
        segments.append(_Segment(kind.meaning, codes.TISSUE, kind, None, color, tiles))
    for rank, (panel_gene, hotspots) in enumerate(hotspots_by_gene(result)):
        gene, color = panel_gene.gene, colors.HOTSPOTS[rank % len(colors.HOTSPOTS)]
        label = f"High predicted {gene.symbol} expression"
        kind = codes.for_gene(codes.HIGH_EXPRESSION_REGION, gene, label)
        tiles = np.concatenate([hotspot.tiles for hotspot in hotspots])
        segments.append(_Segment(label, codes.SPATIAL_CONCEPT, kind, gene, color, tiles))
    return segments


def _describe(source: SourceSlide, result: SlideResult, number: int, shown: _Segment) -> Dataset:
    """Make an item of Segment Sequence; its type names the gene because viewers show the type, not the modifier."""
    segment = Dataset()
    segment.SegmentNumber = number
    segment.SegmentLabel = plain(shown.label)
    segment.SegmentAlgorithmType = "AUTOMATIC"
    segment.SegmentAlgorithmName = plain(result.bundle.bundle_id)
    segment.SegmentationAlgorithmIdentificationSequence = [algorithm_identification(result.bundle)]
    segment.TrackingID = plain(shown.label)
    segment.TrackingUID = result_uid(source, result, SEGMENTATION.name, "segment", shown.label)
    segment.RecommendedDisplayCIELabValue = colors.to_cielab_value(shown.color)
    kind = shown.kind.to_item()
    if shown.gene is not None:
        segment.SegmentDescription = plain(HOTSPOT, _MAX_SHORT_TEXT)
        kind.SegmentedPropertyTypeModifierCodeSequence = [codes.gene_code(shown.gene).to_item()]
    segment.SegmentedPropertyCategoryCodeSequence = [shown.category.to_item()]
    segment.SegmentedPropertyTypeCodeSequence = [kind]
    return segment


def _check(dataset: Dataset, source: SourceSlide, result: SlideResult) -> None:
    map_image.check_place(dataset, source, result)
    masks = segment_masks(result)
    frames = np.asarray(dataset.pixel_array).reshape(int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)
    n_columns = result.grid.size.n_columns
    require(frames[:, :, :n_columns].shape == masks.shape, "has another size or number of segments")
    require(bool((frames[:, :, :n_columns] == masks).all()), "shows other segments than the result")
    require(not frames[:, :, n_columns:].any(), "has segments beyond the slide")
