"""Reading a report back, and comparing every statement of it with the result.

Nothing here is shared with what writes reports but the codes: what should stand there is put together again from the
result, and compared with all that stands there.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import GeneStatus, PanelGene
from vst_dicom.domain.result import Hotspot, SlideResult
from vst_dicom.domain.signature import PanelSignature, SignatureScore
from vst_dicom.domain.wording import HOTSPOT, PRODUCT
from vst_dicom.encode.objects import ResultObject, require
from vst_dicom.encode.outlines import corners_to_slide_mm
from vst_dicom.encode.provenance import PARAMETRIC_MAP, REPORT, SEGMENTATION, device_uid, plain, result_uid

_POSITION_MM: Final = 1e-5
"""Positions are stored with 24 bits: within 0.004 µm on a slide of 75 mm."""

_MAX_TEXT: Final = 1024

Fact = tuple[Any, ...]
"""What one item states: name, kind, value, and what is said about the value."""


def check_report(dataset: Dataset, source: SourceSlide, result: SlideResult, others: Sequence[ResultObject]) -> None:
    """Compare a report with the result that it was made from.

    Parameters
    ----------
    dataset
        The report, as read back.
    source, result
        The slide, and what was found on it.
    others
        The other objects of the result.

    Raises
    ------
    EncodingError
        If a statement differs, is missing, or is too much.
    """
    items = list(dataset.ContentSequence)
    containers = {_code_of(item): item for item in items if item.ValueType == "CONTAINER"}
    context = [item for item in items if item.ValueType != "CONTAINER"]
    _same(_read(context), _context(source, result), "who made it, or about what")
    expected = [codes.TISSUE_OF_SLIDE, codes.GENES_OVER_ALL_TISSUE, codes.QUALITATIVE_EVALUATIONS]
    shown = [score for score in result.signatures if score.values is not None]
    if result.hotspots:
        expected.append(codes.IMAGING_MEASUREMENTS)
    if shown:
        expected.append(codes.SIGNATURES_OVER_ALL_TISSUE)
    require(set(containers) == {(code.value, code.scheme) for code in expected}, "has other parts than it should")

    def children(name: codes.Code) -> list[Dataset]:
        return list(containers[name.value, name.scheme].ContentSequence) if name in expected else []

    cited = _citations(source, result, others)
    groups = children(codes.IMAGING_MEASUREMENTS)
    require(len(groups) == len(result.hotspots), "has another number of hotspots")
    for group, hotspot in zip(groups, result.hotspots, strict=True):
        where = f"hotspot {hotspot.number}"
        outlines = [item for item in group.ContentSequence if item.ValueType == "SCOORD3D"]
        _check_outline(outlines, source, hotspot)
        stated = [item for item in group.ContentSequence if item.ValueType != "SCOORD3D"]
        _same(_read(stated), _hotspot(source, result, hotspot, cited), where)
    _same(_read(children(codes.TISSUE_OF_SLIDE)), _tissue(source, result), "the tissue")
    genes = children(codes.GENES_OVER_ALL_TISSUE)
    require(len(genes) == len(result.expression.genes), "has another number of genes")
    for index, (item, panel_gene) in enumerate(zip(genes, result.expression.genes, strict=True)):
        _same(_read(item.ContentSequence), _gene(result, index, cited), panel_gene.gene.symbol)
    signatures = children(codes.SIGNATURES_OVER_ALL_TISSUE)
    require(len(signatures) == len(shown), "has another number of signatures")
    for item, score in zip(signatures, shown, strict=True):
        _same(_read(item.ContentSequence), _signature(score), score.signature.name)
    _same(_read(children(codes.QUALITATIVE_EVALUATIONS)), _remarks(result), "what it is for and how it came about")


def _same(found: list[Fact], expected: list[Fact], about: str) -> None:
    """Compare statements, whatever their order."""
    difference = (Counter(found) - Counter(expected)) + (Counter(expected) - Counter(found))
    names = sorted({str(fact[0][0]) for fact in difference})
    require(not difference, f"says something else than the result about {about} (concepts {', '.join(names)})")


def _read(items: Iterable[Dataset]) -> list[Fact]:
    return [_fact(item) for item in items]


def _fact(item: Dataset) -> Fact:
    about = tuple(sorted(_read(item.get("ContentSequence", ())), key=str))
    return (_code_of(item), str(item.ValueType), _value(item), about)


def _code_of(item: Dataset, keyword: str = "ConceptNameCodeSequence") -> tuple[str, str]:
    (code,) = item[keyword].value
    return str(code.get("CodeValue") or code.LongCodeValue), str(code.CodingSchemeDesignator)


def _value(item: Dataset) -> Any:
    if item.ValueType == "CODE":
        return _code_of(item, "ConceptCodeSequence")
    if item.ValueType == "TEXT":
        return str(item.TextValue)
    if item.ValueType == "UIDREF":
        return str(item.UID)
    if item.ValueType == "NUM":
        (measured,) = item.MeasuredValueSequence
        decimal = float(measured.NumericValue)
        exact = float(measured.get("FloatingPointValue", decimal))
        require(abs(decimal - exact) <= 1e-9 * max(1.0, abs(exact)), "states a number in two ways that differ")
        return exact, _code_of(measured, "MeasurementUnitsCodeSequence")
    if item.ValueType == "IMAGE":
        (image,) = item.ReferencedSOPSequence
        places = image.get("ReferencedFrameNumber"), image.get("ReferencedSegmentNumber")
        return str(image.ReferencedSOPInstanceUID), *(None if place is None else int(place) for place in places)
    return None


def _check_outline(items: list[Dataset], source: SourceSlide, hotspot: Hotspot) -> None:
    where = f"hotspot {hotspot.number}"
    require(len(items) == 1 and items[0].GraphicType == "POLYGON", f"does not outline {where}")
    require(items[0].ReferencedFrameOfReferenceUID == source.frame_of_reference_uid, f"places {where} elsewhere")
    found = np.array(items[0].GraphicData, dtype=np.float64).reshape(-1, 3)
    outline = corners_to_slide_mm(source.plane, hotspot.outlines_px[0])
    expected = np.concatenate([outline, outline[:1]])
    same = found.shape == expected.shape and bool((np.abs(found - expected) <= _POSITION_MM).all())
    require(same, f"outlines {where} elsewhere")


def _citations(source: SourceSlide, result: SlideResult, others: Sequence[ResultObject]) -> dict[tuple[str, str], Fact]:
    """Put references to frames of maps and to segments together, by class of the object and symbol."""
    found: dict[tuple[str, str], Fact] = {}
    for other in others:
        for number, symbol in enumerate(other.genes, start=1):
            of_map = other.kind.sop_class_uid == PARAMETRIC_MAP.sop_class_uid
            place = (number, None) if of_map else (None, number)
            value = (other.instance_uid(source, result), *place)
            fact = _stated(codes.SOURCE_OF_MEASUREMENT, "IMAGE", value)
            found.setdefault((other.kind.sop_class_uid, symbol), fact)
    return found


def _stated(name: codes.Code, kind: str, value: Any, *about: Fact | None) -> Fact:
    said = tuple(sorted((fact for fact in about if fact is not None), key=str))
    return ((name.value, name.scheme), kind, value, said)


def _coded(name: codes.Code, value: codes.Code) -> Fact:
    return _stated(name, "CODE", (value.value, value.scheme))


def _text(name: codes.Code, value: str) -> Fact:
    return _stated(name, "TEXT", plain(value, _MAX_TEXT))


def _number(name: codes.Code, value: float, *about: Fact | None, unit: str = "1") -> Fact:
    return _stated(name, "NUM", (float(value), (unit, "UCUM")), *about)


_METHOD: Final = _coded(codes.MEASUREMENT_METHOD, codes.INFERRED_FROM_MORPHOLOGY)


def _context(source: SourceSlide, result: SlideResult) -> list[Fact]:
    bundle, header = result.bundle, source.header
    facts = [
        _coded(codes.LANGUAGE, codes.AMERICAN_ENGLISH),
        _coded(codes.OBSERVER_TYPE, codes.DEVICE),
        _stated(codes.OBSERVER_UID, "UIDREF", device_uid(bundle)),
        _text(codes.OBSERVER_NAME, PRODUCT),
        _text(codes.OBSERVER_MANUFACTURER, PRODUCT),
        _text(codes.OBSERVER_MODEL, f"{bundle.bundle_id} {bundle.version}"[:64]),
        _text(codes.OBSERVER_SERIAL_NUMBER, bundle.sha256),
        _coded(codes.PROCEDURE_REPORTED, codes.LIGHT_MICROSCOPY),
    ]
    specimens = list(header.get("SpecimenDescriptionSequence") or ())
    names = [specimens[0].get(word) for word in ("SpecimenUID", "SpecimenIdentifier")] if len(specimens) == 1 else []
    names.append(header.get("ContainerIdentifier"))
    if len(names) == 3 and all(names):
        specimen_uid, identifier, glass = map(str, names)
        facts += [
            _coded(codes.SUBJECT_CLASS, codes.SPECIMEN),
            _stated(codes.SPECIMEN_UID, "UIDREF", specimen_uid),
            _stated(codes.SPECIMEN_IDENTIFIER, "TEXT", identifier),
            _stated(codes.CONTAINER_IDENTIFIER, "TEXT", glass),
        ]
    return facts


def _hotspot(
    source: SourceSlide, result: SlideResult, hotspot: Hotspot, cited: dict[tuple[str, str], Fact]
) -> list[Fact]:
    gene, bundle = hotspot.gene.gene, result.bundle
    segment = cited.get((SEGMENTATION.sop_class_uid, gene.symbol))
    frame = cited.get((PARAMETRIC_MAP.sop_class_uid, gene.symbol))
    mean = _coded(codes.DERIVATION, codes.MEAN)
    finding = codes.for_gene(codes.HIGH_EXPRESSION_REGION, gene, "")
    facts = [
        _text(codes.TRACKING_IDENTIFIER, f"{gene.symbol} hotspot {hotspot.number}"[:64]),
        _stated(codes.TRACKING_UID, "UIDREF", result_uid(source, result, REPORT.name, "hotspot", str(hotspot.number))),
        _coded(codes.FINDING, finding),
        _number(codes.AREA, hotspot.area_mm2, segment, unit="mm2"),
        _number(codes.expression_of(gene), hotspot.mean, _METHOD, mean, frame),
        _number(codes.SIMILAR_TISSUE_MEAN, hotspot.class_mean),
        _number(codes.GI_STAR, hotspot.z),
        _number(codes.GI_STAR_THRESHOLD, hotspot.threshold),
        _number(codes.NUMBER_OF_TILES, len(hotspot.tiles), segment),
        _number(codes.MASKED_NEARBY, hotspot.masked_nearby),
        _text(codes.ALGORITHM_NAME, bundle.bundle_id[:64]),
        _text(codes.ALGORITHM_VERSION, bundle.version[:64]),
        _text(codes.ALGORITHM_PARAMETERS, f"sha256={bundle.sha256}"),
        _coded(codes.gene_concept(gene), codes.gene_code(gene)),
        _supported(hotspot.gene.status),
        _coded(codes.TISSUE_CLASS, codes.tissue_class_code(hotspot.tissue_class)),
        _coded(codes.INTENDED_USE, codes.RESEARCH_USE),
    ]
    if hotspot.interval is not None:
        limits = zip((codes.MEAN_LOWER, codes.MEAN_UPPER), hotspot.interval, strict=True)
        facts += [_number(name, value) for name, value in limits]
    return facts


def _tissue(source: SourceSlide, result: SlideResult) -> list[Fact]:
    tile, spacing = result.grid.tile_size, source.plane.spacing
    tile_mm2 = tile.n_rows * spacing.row_mm * tile.n_columns * spacing.column_mm
    return [
        _number(codes.NUMBER_OF_TILES, len(result.grid)),
        _number(codes.AREA, len(result.grid) * tile_mm2, unit="mm2"),
        _number(codes.MASKED_TILES, len(result.masked_cells)),
    ]


def _gene(result: SlideResult, index: int, cited: dict[tuple[str, str], Fact]) -> list[Fact]:
    panel_gene = result.expression.genes[index]
    gene = panel_gene.gene
    frame = cited.get((PARAMETRIC_MAP.sop_class_uid, gene.symbol))
    facts = [
        _coded(codes.gene_concept(gene), codes.gene_code(gene)),
        *_spread(codes.expression_of(gene), result.expression.values[:, index], frame),
        *_evidence(panel_gene),
    ]
    if panel_gene.ranks_only:
        facts.append(_coded(codes.READING, codes.ORDER_ONLY))
    if result.half_width is not None:
        middle = float(np.median(result.half_width[:, index]))
        facts.append(_number(codes.INTERVAL_HALF_WIDTH, middle, _coded(codes.DERIVATION, codes.MEDIAN)))
    return facts


def _signature(score: SignatureScore) -> list[Fact]:
    signature = score.signature
    facts = [
        _stated(codes.GENE_SIGNATURE, "CODE", (signature.signature_id, codes.OWN_SCHEME)),
        *_spread(codes.SIGNATURE_SCORE, np.asarray(score.values), None, codes.score_unit(signature.scoring).value),
        _number(codes.USABLE_GENES, len(signature.genes)),
        _number(codes.LISTED_GENES, signature.n_genes),
        *_evidence(signature),
        _text(codes.PUBLICATION, signature.citation),
    ]
    return [*facts, _text(codes.COMMENT, signature.note)] if signature.note else facts


def _spread(name: codes.Code, values: np.ndarray, frame: Fact | None, unit: str = "1") -> list[Fact]:
    mean, high = float(values.mean(dtype=np.float64)), float(np.percentile(values, 95))
    return [
        _number(name, mean, _METHOD, _coded(codes.DERIVATION, codes.MEAN), frame, unit=unit),
        _number(name, high, _METHOD, _coded(codes.DERIVATION, codes.PERCENTILE_95), frame, unit=unit),
    ]


def _supported(status: GeneStatus) -> Fact:
    supported = status is GeneStatus.SUPPORTED
    return _coded(codes.EVIDENCE, codes.EVIDENCE_SUPPORTED if supported else codes.EVIDENCE_EXPLORATORY)


def _evidence(tested: PanelGene | PanelSignature) -> list[Fact]:
    facts = [_supported(tested.status), _number(codes.NUMBER_HELD_OUT, tested.n_held_out)]
    if tested.held_out_unit == "patient":
        facts.append(_coded(codes.HELD_OUT_UNIT, codes.HELD_OUT_PATIENT))
    if tested.held_out_unit == "section":
        facts.append(_coded(codes.HELD_OUT_UNIT, codes.HELD_OUT_SECTION))
    if tested.held_out_r is not None:
        facts.append(_number(codes.HELD_OUT_CORRELATION, tested.held_out_r))
    if tested.depth_adjusted_r is not None:
        facts.append(_number(codes.DEPTH_ADJUSTED_CORRELATION, tested.depth_adjusted_r))
    if tested.held_out_interval is not None:
        limits = zip((codes.HELD_OUT_LOWER, codes.HELD_OUT_UPPER), tested.held_out_interval, strict=True)
        facts += [_number(name, value) for name, value in limits]
    if tested.reason:
        facts.append(_text(codes.COMMENT, tested.reason))
    return facts


def _remarks(result: SlideResult) -> list[Fact]:
    comments = [HOTSPOT] if result.hotspots else []
    comments += [result.interval_note] if result.interval_note else []
    comments += [f"Computed {result.computed}"] if result.computed else []
    return [
        _coded(codes.INTENDED_USE, codes.RESEARCH_USE),
        *[_text(codes.COMMENT, comment) for comment in comments],
        *[_text(codes.PARAMETER, f"{name}: {value}") for name, value in result.parameters.items()],
        *[_text(codes.WARNING, warning) for warning in result.warnings],
    ]
