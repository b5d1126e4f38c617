"""Gene maps as a Parametric Map (PS3.3 A.75): one instance, one frame per gene, one pixel per tile."""

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
from vst_dicom.domain.wording import UNIT
from vst_dicom.encode import map_image
from vst_dicom.encode.objects import ResultObject, require
from vst_dicom.encode.provenance import (
    PARAMETRIC_MAP,
    copy_lossy_compression,
    derivation,
    describe_content,
    leave_laterality_unknown,
    require_shown_genes,
    start_object,
)

FIRST, LAST = 1, 65535
"""Stored values that carry a real world value; 0 is background."""

IMAGE_TYPE: Final = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]

_MAPPING: Final = 0x00409096
"""Real World Value Mapping Sequence."""

_LABEL: Final = 0x00409210
"""LUT Label, a short string."""

_EXPLANATION: Final = f"Predicted {UNIT}. For Research Use Only."


@dataclass(frozen=True, slots=True)
class LinearMapping:
    """How a gene's stored values become expression: value = intercept + slope × stored."""

    slope: float
    intercept: float

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "LinearMapping":
        """Spread the range of values over all stored values; where all are equal, over one unit from there."""
        least, most = float(values.min()), float(values.max())
        slope = ((most - least) or 1.0) / (LAST - FIRST)
        return cls(slope, least - slope * FIRST)

    def to_stored(self, values: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Encode values; the error is at most half of the slope."""
        stored = np.rint((values.astype(np.float64) - self.intercept) / self.slope)
        return np.clip(stored, FIRST, LAST).astype(np.uint16)

    def to_values(self, stored: NDArray[np.uint16]) -> NDArray[np.float64]:
        """Decode stored values."""
        values: NDArray[np.float64] = stored.astype(np.float64) * self.slope + self.intercept
        return values


def parametric_map_objects(source: SourceSlide, result: SlideResult, encoding: Encoding) -> list[ResultObject]:
    """Parametric Maps of a result, each in a series of its own; none where no gene is shown."""
    del encoding
    if not result.expression.genes:
        return []
    return [
        ResultObject(
            PARAMETRIC_MAP,
            lambda: encode_parametric_map(source, result),
            lambda dataset: _check(dataset, source, result),
            tuple(panel_gene.gene.symbol for panel_gene in result.expression.genes),
        )
    ]


def encode_parametric_map(source: SourceSlide, result: SlideResult) -> Dataset:
    """Encode the maps of all shown genes.

    Stored values are unsigned 16 bit, each gene with its own linear mapping, because viewers and archives fail on
    floating point pixels. Frames cover the whole map, so the number of per-frame items is the number of genes.

    Parameters
    ----------
    source
        The slide.
    result
        Its predictions.

    Returns
    -------
    Dataset
        A Parametric Map without file meta information.

    Raises
    ------
    BundleError
        If the result has no gene to show.
    """
    genes, values = result.expression.genes, result.expression.values
    require_shown_genes(result)
    dataset = start_object(source, result, PARAMETRIC_MAP)
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
    map_image.set_dimensions(dataset, source, result, (_LABEL, _MAPPING, "Gene"), PARAMETRIC_MAP.name)
    dataset.SharedFunctionalGroupsSequence = [_shared_groups(source, map_image.shared_groups(source, plane))]

    stored = np.empty(values.shape, dtype=np.uint16)
    dataset.PerFrameFunctionalGroupsSequence = []
    for index, (panel_gene, label) in enumerate(zip(genes, unique_labels([g.gene for g in genes]), strict=True)):
        mapping = LinearMapping.of(values[:, index])
        stored[:, index] = mapping.to_stored(values[:, index])
        groups = map_image.frame_groups(plane, index + 1)
        groups.RealWorldValueMappingSequence = [_mapping_item(panel_gene.gene, label, mapping)]
        dataset.PerFrameFunctionalGroupsSequence.append(groups)

    dataset.NumberOfFrames = len(genes)
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.add_new(0x7FE00010, "OW", result.grid.place(stored, fill=0).astype("<u2").tobytes())
    return dataset


def unique_labels(genes: list[Gene]) -> list[str]:
    """Symbols of at most 16 characters, the length of a LUT Label (0040,9210), by which viewers tell genes apart."""
    labels: list[str] = []
    for gene in genes:
        label = gene.symbol[:16]
        number = 2
        while label in labels:
            suffix = f"~{number}"
            label, number = gene.symbol[: 16 - len(suffix)] + suffix, number + 1
        labels.append(label)
    return labels


def _shared_groups(source: SourceSlide, shared: Dataset) -> Dataset:
    window, transform, frame_type = Dataset(), Dataset(), Dataset()
    window.WindowCenter = (FIRST + LAST) / 2
    window.WindowWidth = LAST - FIRST + 1
    transform.RescaleIntercept, transform.RescaleSlope, transform.RescaleType = 0, 1, "US"
    frame_type.FrameType = IMAGE_TYPE
    shared.FrameVOILUTSequence = [window]
    shared.PixelValueTransformationSequence = [transform]
    shared.ParametricMapFrameTypeSequence = [frame_type]
    shared.DerivationImageSequence = [derivation(source, codes.INFERRED_FROM_MORPHOLOGY)]
    return shared


def _mapping_item(gene: Gene, label: str, mapping: LinearMapping) -> Dataset:
    """Say which gene a frame shows and what its stored values mean (PS3.3 C.7.6.16.2.11)."""
    item = Dataset()
    item.LUTLabel = label
    item.LUTExplanation = _EXPLANATION
    item.MeasurementUnitsCodeSequence = [codes.UNIT_OF_EXPRESSION.to_item()]
    item.QuantityDefinitionSequence = [
        codes.content_item(codes.QUANTITY, codes.PREDICTED_EXPRESSION),
        codes.content_item(codes.gene_concept(gene), codes.gene_code(gene)),
        codes.content_item(codes.MEASUREMENT_METHOD, codes.INFERRED_FROM_MORPHOLOGY),
    ]
    item.add_new(0x00409216, "US", FIRST)
    item.add_new(0x00409211, "US", LAST)
    item.RealWorldValueSlope = mapping.slope
    item.RealWorldValueIntercept = mapping.intercept
    return item


def _check(dataset: Dataset, source: SourceSlide, result: SlideResult) -> None:
    """Compare decoded maps with the values: the error is at most half a step, and background stays background."""
    map_image.check_place(dataset, source, result)
    grid, values = result.grid, result.expression.values
    stored = np.asarray(dataset.pixel_array).reshape(-1, grid.size.n_rows, grid.size.n_columns)
    require(len(stored) == values.shape[1], "has another number of genes")
    require(bool(((stored == 0) == ~grid.mask).all()), "has tissue where the grid has none, or the reverse")
    rows, columns = grid.cells.T
    for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item = groups.RealWorldValueMappingSequence[0]
        in_range = (item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped) == (FIRST, LAST)
        require(in_range, "maps other stored values")
        mapping = LinearMapping(float(item.RealWorldValueSlope), float(item.RealWorldValueIntercept))
        decoded = mapping.to_values(stored[index, rows, columns])
        error = float(np.abs(decoded - values[:, index]).max(initial=0.0))
        require(error <= mapping.slope * 0.500001, f"is off by {error:.3g} for gene {index + 1}")
