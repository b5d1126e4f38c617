"""Tissue and regions as a binary Segmentation (PS3.3 A.51): one pixel per tile, one frame per segment."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import PanelGene
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode import colors, map_image
from vst_dicom.encode.outlines import regions_by_gene
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

_NOMINAL_THICKNESS_MM: Final = 0.001
"""Slice Thickness (0018,0050) where the slide states none: a Segmentation must have one, and not zero."""


def encode_segmentation(source: SourceSlide, result: SlideResult) -> Dataset:
    """Encode the tissue that was looked at and, gene by gene, the regions of highest predicted expression.

    Frames are as wide as the next multiple of 8, since an archive may refuse to hand out other 1-bit frames; the
    columns beyond the total pixel matrix are 0. The regions of one gene form one segment; their outlines one by
    one stand in the annotations and the report.

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

    by_gene = regions_by_gene(result)
    dataset.SegmentSequence = [_tissue_segment(source, result)]
    dataset.SegmentSequence.extend(
        _gene_segment(source, result, number, gene) for number, (gene, _) in enumerate(by_gene, start=2)
    )
    dataset.PerFrameFunctionalGroupsSequence = []
    for number in range(1, len(by_gene) + 2):
        segment = Dataset()
        segment.ReferencedSegmentNumber = number
        groups = map_image.frame_groups(plane, number)
        groups.SegmentIdentificationSequence = [segment]
        dataset.PerFrameFunctionalGroupsSequence.append(groups)

    dataset.NumberOfFrames = len(by_gene) + 1
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    masks = np.zeros((len(by_gene) + 1, result.grid.size.n_rows, frame_columns), dtype=np.bool_)
    masks[:, :, : result.grid.size.n_columns] = segment_masks(result)
    packed = np.packbits(masks, bitorder="little").tobytes()
    dataset.add_new(0x7FE00010, "OB", packed + b"\0" * (len(packed) % 2))
    return dataset


def segment_masks(result: SlideResult) -> NDArray[np.bool_]:
    """Where each segment lies, shape ``(n_segments, n_rows, n_columns)``: tissue, then the genes with regions.

    Tissue is all that was looked at, masked tiles included: they have no values, but tissue they are.
    """
    by_gene = regions_by_gene(result)
    inside = np.zeros((len(result.grid), len(by_gene) + 1), dtype=np.bool_)
    inside[:, 0] = True
    for column, (_, regions) in enumerate(by_gene, start=1):
        for region in regions:
            inside[region.tiles, column] = True
    masks = result.grid.place(inside, fill=False)
    masks[0, result.masked_cells[:, 0], result.masked_cells[:, 1]] = True
    return masks


def _tissue_segment(source: SourceSlide, result: SlideResult) -> Dataset:
    segment = _segment(source, result, 1, "Tissue", colors.TISSUE)
    segment.SegmentedPropertyCategoryCodeSequence = [codes.TISSUE.to_item()]
    segment.SegmentedPropertyTypeCodeSequence = [codes.TISSUE.to_item()]
    return segment


def _gene_segment(source: SourceSlide, result: SlideResult, number: int, panel_gene: PanelGene) -> Dataset:
    """Describe a gene's regions; the type names the gene because viewers show the type, not the modifier."""
    gene = panel_gene.gene
    label = f"High predicted {gene.symbol} expression"
    segment = _segment(source, result, number, label, colors.REGIONS[(number - 2) % len(colors.REGIONS)])
    kind = codes.for_gene(codes.HIGH_EXPRESSION_REGION, gene, label).to_item()
    kind.SegmentedPropertyTypeModifierCodeSequence = [codes.gene_code(gene).to_item()]
    segment.SegmentedPropertyCategoryCodeSequence = [codes.SPATIAL_CONCEPT.to_item()]
    segment.SegmentedPropertyTypeCodeSequence = [kind]
    return segment


def _segment(source: SourceSlide, result: SlideResult, number: int, label: str, color: colors.RGB) -> Dataset:
    segment = Dataset()
    segment.SegmentNumber = number
    segment.SegmentLabel = plain(label)
    segment.SegmentAlgorithmType = "AUTOMATIC"
    segment.SegmentAlgorithmName = plain(result.bundle.bundle_id)
    segment.SegmentationAlgorithmIdentificationSequence = [algorithm_identification(result.bundle)]
    segment.TrackingID = plain(label)
    segment.TrackingUID = result_uid(source, result, SEGMENTATION.name, "segment", label)
    segment.RecommendedDisplayCIELabValue = colors.to_cielab_value(color)
    return segment
