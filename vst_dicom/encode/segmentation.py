"""Segmentations of a result (PS3.3 A.51), and the first of them: tissue, its classes and hotspots, one bit per tile."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.result import SlideResult
from vst_dicom.domain.wording import HOTSPOT
from vst_dicom.encode import colors, map_image
from vst_dicom.encode.gene_segmentation import gene_segmentation_objects
from vst_dicom.encode.label_map import label_map_objects
from vst_dicom.encode.objects import ResultObject, require
from vst_dicom.encode.outlines import hotspots_by_gene
from vst_dicom.encode.provenance import SEGMENTATION
from vst_dicom.encode.segment_image import (
    TISSUE,
    Segment,
    class_segment,
    read_frames,
    set_pixels,
    start_segmentation,
)


def segmentation_objects(source: SourceSlide, result: SlideResult, encoding: Encoding) -> list[ResultObject]:
    """Segmentations of a result, each in a series of its own.

    Raises
    ------
    UsageError
        If a gene that is to be colored is not shown.
    """
    objects = [
        ResultObject(
            SEGMENTATION,
            lambda: encode_segmentation(source, result),
            lambda dataset: _check(dataset, source, result),
            tuple("" if segment.gene is None else segment.gene.symbol for segment, _ in _segments(result)),
        )
    ]
    if encoding.fractional_segments:
        objects += gene_segmentation_objects(source, result, encoding)
    if encoding.label_map:
        objects += label_map_objects(source, result)
    return objects


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
    shown = [segment for segment, _ in _segments(result)]
    frame_columns = -(-result.grid.size.n_columns // 8) * 8
    segments = dict(enumerate(shown, start=1))
    dataset = start_segmentation(source, result, SEGMENTATION, "TISSUE_REGIONS", segments, frame_columns)
    dataset.SegmentationType = "BINARY"
    dataset.SegmentsOverlap = "YES"
    masks = np.zeros((len(shown), result.grid.size.n_rows, frame_columns), dtype=np.bool_)
    masks[:, :, : result.grid.size.n_columns] = segment_masks(result)
    set_pixels(dataset, np.packbits(masks, bitorder="little"), bits_allocated=1)
    return dataset


def segment_masks(result: SlideResult) -> NDArray[np.bool_]:
    """Where each segment lies, shape ``(n_segments, n_rows, n_columns)``: tissue, its classes, genes with hotspots.

    Tissue is all that was looked at, masked tiles included: they have no values, but tissue they are.
    """
    segments = _segments(result)
    inside = np.zeros((len(result.grid), len(segments)), dtype=np.bool_)
    for column, (_, tiles) in enumerate(segments):
        inside[tiles, column] = True
    masks = result.grid.place(inside, fill=False)
    masks[0, result.masked_cells[:, 0], result.masked_cells[:, 1]] = True
    return masks


def _segments(result: SlideResult) -> list[tuple[Segment, NDArray[np.int64]]]:
    """Each segment and its tiles: all tissue, the classes that occur, the genes that have hotspots."""
    classes = [] if result.tissue_class is None else np.unique(result.tissue_class).tolist()
    segments = [
        (TISSUE, np.arange(len(result.grid), dtype=np.int64)),
        *((class_segment(number), np.flatnonzero(result.tissue_class == number)) for number in classes),
    ]
    for rank, (panel_gene, hotspots) in enumerate(hotspots_by_gene(result)):
        gene, color = panel_gene.gene, colors.HOTSPOTS[rank % len(colors.HOTSPOTS)]
        label = f"High predicted {gene.symbol} expression"
        kind = codes.for_gene(codes.HIGH_EXPRESSION_REGION, gene, label)
        tiles = np.concatenate([hotspot.tiles for hotspot in hotspots])
        segments.append((Segment(label, codes.SPATIAL_CONCEPT, kind, color, gene, HOTSPOT), tiles))
    return segments


def _check(dataset: Dataset, source: SourceSlide, result: SlideResult) -> None:
    map_image.check_place(dataset, source, result)
    masks, frames = segment_masks(result), read_frames(dataset)
    n_columns = result.grid.size.n_columns
    require(frames[:, :, :n_columns].shape == masks.shape, "has another size or number of segments")
    require(bool((frames[:, :, :n_columns] == masks).all()), "shows other segments than the result")
    require(not frames[:, :, n_columns:].any(), "has segments beyond the slide")
