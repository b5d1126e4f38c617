"""What a report states: hotspots, tissue, genes and signatures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import GeneStatus, PanelGene
from vst_dicom.domain.result import Hotspot, SlideResult
from vst_dicom.domain.signature import PanelSignature
from vst_dicom.encode.content_items import Relationship, code, container, image, number, polygon, text, uid
from vst_dicom.encode.objects import ResultObject
from vst_dicom.encode.outlines import corners_to_slide_mm
from vst_dicom.encode.provenance import PARAMETRIC_MAP, REPORT, SEGMENTATION, plain, result_uid

EVIDENCE: Final = {
    GeneStatus.SUPPORTED: codes.EVIDENCE_SUPPORTED,
    GeneStatus.EXPLORATORY: codes.EVIDENCE_EXPLORATORY,
}
HELD_OUT: Final = {"patient": codes.HELD_OUT_PATIENT, "section": codes.HELD_OUT_SECTION}

MAX_TEXT: Final = 1024
"""Longest text of an item; Text Value (0040,A160) itself has no limit."""

_PLANAR_REGION: Final = "1410"
"""Template of measurements of a planar region."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Which other objects show what the report states.

    Parameters
    ----------
    maps
        Frame of a Parametric Map that shows a gene's expression, by symbol: item of Referenced SOP Sequence.
    segments
        Segment that shows a gene's hotspots, by symbol: likewise.
    """

    maps: Mapping[str, Dataset]
    segments: Mapping[str, Dataset]

    @classmethod
    def among(cls, source: SourceSlide, result: SlideResult, others: Sequence[ResultObject]) -> "Sources":
        """Find them among the other objects of a result."""
        maps: dict[str, Dataset] = {}
        segments: dict[str, Dataset] = {}
        for other in others:
            for place, symbol in enumerate(other.genes, start=1):
                item = Dataset()
                item.ReferencedSOPClassUID = other.kind.sop_class_uid
                item.ReferencedSOPInstanceUID = other.instance_uid(source, result)
                if other.kind.sop_class_uid == PARAMETRIC_MAP.sop_class_uid:
                    item.ReferencedFrameNumber = place
                    maps.setdefault(symbol, item)
                elif other.kind.sop_class_uid == SEGMENTATION.sop_class_uid:
                    item.ReferencedSegmentNumber = place
                    segments.setdefault(symbol, item)
        return cls(maps, segments)


def hotspot_group(source: SourceSlide, result: SlideResult, hotspot: Hotspot, sources: Sources) -> Dataset:
    """Describe a hotspot by its outer outline and its numbers (PS3.16 TID 1410)."""
    gene, bundle, unit = hotspot.gene.gene, result.bundle, codes.UNIT_OF_EXPRESSION
    label = f"High predicted {gene.symbol} expression"
    on_segment, on_map = _cite(sources.segments, gene.symbol), _cite(sources.maps, gene.symbol)
    numbers = [
        number(codes.AREA, hotspot.area_mm2, codes.SQUARE_MILLIMETER, on_segment),
        number(codes.expression_of(gene), hotspot.mean, unit, [*_inferred(codes.MEAN), *on_map]),
        number(codes.SIMILAR_TISSUE_MEAN, hotspot.class_mean, unit),
        number(codes.GI_STAR, hotspot.z, codes.NO_UNITS),
        number(codes.GI_STAR_THRESHOLD, hotspot.threshold, codes.NO_UNITS),
        number(codes.NUMBER_OF_TILES, len(hotspot.tiles), codes.NO_UNITS, on_segment),
        number(codes.MASKED_NEARBY, hotspot.masked_nearby, codes.NO_UNITS),
    ]
    if hotspot.interval is not None:
        lower, upper = hotspot.interval
        numbers += [number(codes.MEAN_LOWER, lower, unit), number(codes.MEAN_UPPER, upper, unit)]
    context, modifier = Relationship.CONTEXT, Relationship.MODIFIER
    tracked = result_uid(source, result, REPORT.name, "hotspot", str(hotspot.number))
    outline = corners_to_slide_mm(source.plane, hotspot.outlines_px[0])
    items = [
        text(codes.TRACKING_IDENTIFIER, plain(f"{gene.symbol} hotspot {hotspot.number}"), context),
        uid(codes.TRACKING_UID, tracked, context),
        code(codes.FINDING, codes.for_gene(codes.HIGH_EXPRESSION_REGION, gene, label)),
        polygon(codes.IMAGE_REGION, outline, source.frame_of_reference_uid),
        *numbers,
        text(codes.ALGORITHM_NAME, plain(bundle.bundle_id), modifier),
        text(codes.ALGORITHM_VERSION, plain(bundle.version), modifier),
        text(codes.ALGORITHM_PARAMETERS, f"sha256={bundle.sha256}", modifier),
        code(codes.gene_concept(gene), codes.gene_code(gene)),
        code(codes.EVIDENCE, EVIDENCE[hotspot.gene.status]),
        code(codes.TISSUE_CLASS, codes.tissue_class_code(hotspot.tissue_class)),
        code(codes.INTENDED_USE, codes.RESEARCH_USE),
    ]
    return container(codes.MEASUREMENT_GROUP, items, _PLANAR_REGION)


def tissue_summary(source: SourceSlide, result: SlideResult) -> Dataset:
    """State how much tissue was looked at."""
    tile, spacing = result.grid.tile_size, source.plane.spacing
    tile_mm2 = tile.n_rows * spacing.row_mm * tile.n_columns * spacing.column_mm
    numbers = [
        number(codes.NUMBER_OF_TILES, len(result.grid), codes.NO_UNITS),
        number(codes.AREA, len(result.grid) * tile_mm2, codes.SQUARE_MILLIMETER),
        number(codes.MASKED_TILES, len(result.masked_cells), codes.NO_UNITS),
    ]
    return container(codes.TISSUE_OF_SLIDE, numbers)


def gene_summary(result: SlideResult, index: int, sources: Sources) -> Dataset:
    """State a gene's values over all tiles and what is known about its predictability."""
    panel_gene, values = result.expression.genes[index], result.expression.values[:, index]
    gene, unit = panel_gene.gene, codes.UNIT_OF_EXPRESSION
    numbers = _spread(codes.expression_of(gene), values, unit, _cite(sources.maps, gene.symbol))
    if result.half_width is not None:
        median = float(np.median(result.half_width[:, index]))
        numbers.append(number(codes.INTERVAL_HALF_WIDTH, median, unit, [_derived(codes.MEDIAN)]))
    reading = [code(codes.READING, codes.ORDER_ONLY)] if panel_gene.ranks_only else []
    items = [code(codes.gene_concept(gene), codes.gene_code(gene)), *reading, *numbers, *_evidence(panel_gene)]
    return container(codes.GENE_OVER_ALL_TISSUE, items)


def signature_summary(signature: PanelSignature, values: NDArray[np.float32]) -> Dataset:
    """State a signature's scores over all tiles, from how many of its genes, and what is known about it."""
    items = [
        code(codes.GENE_SIGNATURE, codes.signature_code(signature)),
        *_spread(codes.SIGNATURE_SCORE, values, codes.score_unit(signature.scoring), []),
        number(codes.USABLE_GENES, len(signature.genes), codes.NO_UNITS),
        number(codes.LISTED_GENES, signature.n_genes, codes.NO_UNITS),
        *_evidence(signature),
        text(codes.PUBLICATION, plain(signature.citation, MAX_TEXT)),
    ]
    if signature.note:
        items.append(text(codes.COMMENT, plain(signature.note, MAX_TEXT)))
    return container(codes.SIGNATURE_OVER_ALL_TISSUE, items)


def _spread(
    name: codes.Code, values: NDArray[np.float32], unit: codes.Code, sources: Sequence[Dataset]
) -> list[Dataset]:
    mean, high = float(values.mean(dtype=np.float64)), float(np.percentile(values, 95))
    return [
        number(name, mean, unit, [*_inferred(codes.MEAN), *sources]),
        number(name, high, unit, [*_inferred(codes.PERCENTILE_95), *sources]),
    ]


def _evidence(tested: PanelGene | PanelSignature) -> list[Dataset]:
    """State what held-out tissue says about a gene or a signature."""
    items = [code(codes.EVIDENCE, EVIDENCE[tested.status])]
    if tested.held_out_unit in HELD_OUT:
        items.append(code(codes.HELD_OUT_UNIT, HELD_OUT[tested.held_out_unit]))
    numbers: list[tuple[codes.Code, float | None]] = [
        (codes.HELD_OUT_CORRELATION, tested.held_out_r),
        (codes.NUMBER_HELD_OUT, tested.n_held_out),
        (codes.DEPTH_ADJUSTED_CORRELATION, tested.depth_adjusted_r),
    ]
    if tested.held_out_interval is not None:
        lower, upper = tested.held_out_interval
        numbers += [(codes.HELD_OUT_LOWER, lower), (codes.HELD_OUT_UPPER, upper)]
    items += [number(name, value, codes.NO_UNITS) for name, value in numbers if value is not None]
    if tested.reason:
        items.append(text(codes.COMMENT, plain(tested.reason, MAX_TEXT)))
    return items


def _inferred(derivation: codes.Code) -> list[Dataset]:
    """Say of a number that it is not measured, and how it sums up tiles."""
    method = code(codes.MEASUREMENT_METHOD, codes.INFERRED_FROM_MORPHOLOGY, Relationship.MODIFIER)
    return [method, _derived(derivation)]


def _derived(how: codes.Code) -> Dataset:
    return code(codes.DERIVATION, how, Relationship.MODIFIER)


def _cite(references: Mapping[str, Dataset], symbol: str) -> list[Dataset]:
    """Refer to what shows a gene; to nothing where no object does."""
    return [image(codes.SOURCE_OF_MEASUREMENT, references[symbol])] if symbol in references else []
