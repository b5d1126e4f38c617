"""Maps of a few genes as a fractional Segmentation (PS3.3 A.51), which viewers draw on clear glass.

The standard knows two meanings of fractional pixels, a probability or an occupied part of the pixel (PS3.3
C.8.20.2), and a scaled prediction is neither. Occupancy is stated: it is an amount, and does not claim how sure
anything is. Every segment says in words what its numbers are. The values themselves stand in the Parametric Map.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import Gene
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.result import SlideResult
from vst_dicom.domain.wording import RESEARCH_USE_ONLY, UNIT
from vst_dicom.encode import colors, map_image
from vst_dicom.encode.colored_genes import choose_colored_genes
from vst_dicom.encode.objects import ResultObject, require
from vst_dicom.encode.provenance import GENE_SEGMENTATION, require_shown_genes
from vst_dicom.encode.segment_image import Segment, read_frames, set_pixels, start_segmentation

LEAST, MOST = 1, 255
"""Stored for the least and the greatest value of a gene on the slide; 0 is glass, and tissue without values."""

_IF_ALL_ARE_EQUAL: Final = 128


def gene_segmentation_objects(source: SourceSlide, result: SlideResult, encoding: Encoding) -> list[ResultObject]:
    """Fractional Segmentation of the colored genes; none where no gene is shown.

    Raises
    ------
    UsageError
        If a gene that is to be colored is not shown.
    """
    if not result.expression.genes:
        return []
    chosen = choose_colored_genes(result, encoding.colored_genes)
    return [
        ResultObject(
            GENE_SEGMENTATION,
            lambda: encode_gene_segmentation(source, result, chosen),
            lambda dataset: _check(dataset, source, result, chosen),
        )
    ]


def encode_gene_segmentation(source: SourceSlide, result: SlideResult, chosen: list[int]) -> Dataset:
    """Encode one frame per gene, each scaled between its least and its greatest value on the slide.

    Parameters
    ----------
    source
        The slide.
    result
        Its predictions.
    chosen
        Columns of the expression table.

    Returns
    -------
    Dataset
        A Segmentation without file meta information.

    Raises
    ------
    BundleError
        If the result has no gene to show.
    """
    require_shown_genes(result)
    segments = {
        number: _segment(result.expression.genes[column].gene, result.expression.values[:, column], number)
        for number, column in enumerate(chosen, start=1)
    }
    n_columns = result.grid.size.n_columns
    dataset = start_segmentation(source, result, GENE_SEGMENTATION, "GENES_TO_DISPLAY", segments, n_columns)
    dataset.SegmentationType = "FRACTIONAL"
    dataset.SegmentationFractionalType = "OCCUPANCY"
    dataset.MaximumFractionalValue = MOST
    dataset.SegmentsOverlap = "YES"
    set_pixels(dataset, scale_for_display(result, chosen), bits_allocated=8)
    return dataset


def scale_for_display(result: SlideResult, chosen: list[int]) -> NDArray[np.uint8]:
    """Scale values of genes to `LEAST` … `MOST`, shape ``(n_genes, n_rows, n_columns)``, 0 where no value is.

    A gene whose values are all equal is drawn half.
    """
    values = result.expression.values[:, chosen].astype(np.float64)
    least, most = values.min(axis=0), values.max(axis=0)
    extent = np.where(most > least, most - least, 1.0)
    scaled = LEAST + np.rint((values - least) / extent * (MOST - LEAST))
    scaled[:, most == least] = _IF_ALL_ARE_EQUAL
    return result.grid.place(scaled.astype(np.uint8), fill=0)


def _segment(gene: Gene, values: NDArray[np.float32], number: int) -> Segment:
    least, most = float(values.min()), float(values.max())
    scale = f"{LEAST} is {least:.4g}, {MOST} is {most:.4g} {UNIT}" if most > least else f"all are {most:.4g} {UNIT}"
    description = (
        f"Predicted {gene.symbol} mRNA expression, scaled between the least and the greatest value of this slide: "
        f"{scale}; 0 is glass or tissue without a value. For display: no probability and no occupied part, although "
        "the standard names fractions so; the values are in the Parametric Map. Predicted from morphology, not "
        f"measured. {RESEARCH_USE_ONLY}"
    )
    kind, color = codes.expression_of(gene), colors.HOTSPOTS[(number - 1) % len(colors.HOTSPOTS)]
    return Segment(f"Predicted {gene.symbol} expression", codes.SPATIAL_CONCEPT, kind, color, gene, description)


def _check(dataset: Dataset, source: SourceSlide, result: SlideResult, chosen: list[int]) -> None:
    """Compare genes, tissue and every scaled value."""
    map_image.check_place(dataset, source, result)
    wanted = [codes.gene_code(result.expression.genes[column].gene).value for column in chosen]
    found = [
        str(item.get("CodeValue") or item.LongCodeValue)
        for segment in dataset.SegmentSequence
        for item in segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    ]
    require(found == wanted, "shows other genes")
    require(np.array_equal(read_frames(dataset), scale_for_display(result, chosen)), "shows other values")
