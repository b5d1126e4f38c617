"""Tissue classes as a label map (PS3.3 A.51, Label Map Segmentation): one frame whose values are segment numbers."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode import colors, map_image
from vst_dicom.encode.objects import ResultObject, require
from vst_dicom.encode.provenance import LABEL_MAP
from vst_dicom.encode.segment_image import (
    TISSUE,
    Segment,
    class_segment,
    read_frames,
    set_pixels,
    start_segmentation,
)

BACKGROUND: Final = 0
"""Stored where no tissue was looked at; Pixel Padding Value (0028,0120)."""

UNCLASSIFIED: Final = 1
"""Tissue without a class: the bundle has no classifier, or the tissue was masked."""

_FIRST_CLASS: Final = 2
"""Class k of `vst_dicom.domain.tissue.TISSUE_CLASSES` is stored as k more, on every slide the same."""


def label_map_objects(source: SourceSlide, result: SlideResult) -> list[ResultObject]:
    """Label map of a result, one object."""
    return [
        ResultObject(
            LABEL_MAP, lambda: encode_label_map(source, result), lambda dataset: _check(dataset, source, result)
        )
    ]


def encode_label_map(source: SourceSlide, result: SlideResult) -> Dataset:
    """Encode tissue by class, or as such where classes are not known.

    Segment numbers need not be consecutive in a label map, so that a number means the same class in every result;
    only those that occur are described.

    Parameters
    ----------
    source
        The slide.
    result
        Its predictions.

    Returns
    -------
    Dataset
        A Label Map Segmentation without file meta information.
    """
    labels = label_tissue(result)
    segments = {number: _segment(number, result) for number in np.unique(labels).tolist() if number != BACKGROUND}
    dataset = start_segmentation(
        source, result, LABEL_MAP, "TISSUE_CLASSES", segments, result.grid.size.n_columns, frame_per_segment=False
    )
    dataset.SegmentationType = "LABELMAP"
    dataset.SegmentsOverlap = "NO"
    set_pixels(dataset, labels, bits_allocated=8)
    dataset.PixelPaddingValue = BACKGROUND
    return dataset


def label_tissue(result: SlideResult) -> NDArray[np.uint8]:
    """Segment number of each cell of the grid, shape ``(n_rows, n_columns)``."""
    labels = np.where(result.grid.mask, UNCLASSIFIED, BACKGROUND).astype(np.uint8)
    if result.tissue_class is not None:
        rows, columns = result.grid.cells.T
        labels[rows, columns] = _FIRST_CLASS + result.tissue_class
    labels[result.masked_cells[:, 0], result.masked_cells[:, 1]] = UNCLASSIFIED
    return labels


def _segment(number: int, result: SlideResult) -> Segment:
    if number >= _FIRST_CLASS:
        return class_segment(number - _FIRST_CLASS)
    if result.tissue_class is None:
        return TISSUE
    kind = codes.tissue_class_code(None)
    return Segment(f"Tissue, {kind.meaning.lower()}", codes.TISSUE, kind, colors.TISSUE)


def _check(dataset: Dataset, source: SourceSlide, result: SlideResult) -> None:
    map_image.check_place(dataset, source, result)
    labels = label_tissue(result)
    require(np.array_equal(read_frames(dataset), labels[None]), "labels tissue otherwise than the result")
    described = {int(segment.SegmentNumber) for segment in dataset.SegmentSequence}
    require(described == set(np.unique(labels).tolist()) - {BACKGROUND}, "describes other segments than it shows")
