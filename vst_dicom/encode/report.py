"""Findings as a structured report: Comprehensive 3D SR, Measurement Report (PS3.16 TID 1500)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import GeneStatus, PanelGene
from vst_dicom.domain.result import BundleIdentity, Hotspot, SlideResult
from vst_dicom.domain.wording import HOTSPOT
from vst_dicom.encode.objects import ResultObject
from vst_dicom.encode.outlines import corners_to_slide_mm
from vst_dicom.encode.provenance import (
    PRODUCT,
    REPORT,
    device_uid,
    plain,
    reference,
    require_shown_genes,
    result_uid,
    start_object,
)

_EVIDENCE: Final = {
    GeneStatus.SUPPORTED: codes.EVIDENCE_SUPPORTED,
    GeneStatus.EXPLORATORY: codes.EVIDENCE_EXPLORATORY,
}
_HELD_OUT: Final = {"patient": codes.HELD_OUT_PATIENT, "section": codes.HELD_OUT_SECTION}

_CONTAINS: Final = sr.RelationshipTypeValues.CONTAINS


def report_objects(source: SourceSlide, result: SlideResult, others: Sequence[ResultObject]) -> list[ResultObject]:
    """Report of a result, which refers to its other objects; none where no gene is shown."""
    if not result.expression.genes:
        return []
    return [ResultObject(REPORT, lambda: encode_report(source, result, others), lambda _: None)]


def encode_report(source: SourceSlide, result: SlideResult, others: Sequence[ResultObject] = ()) -> Dataset:
    """Encode what was found on the slide: hotspot by hotspot, then gene by gene over all tissue.

    Hotspots are polygons in the slide's frame of reference, and the subject is the specimen, as viewers ask. Values
    over all tissue stand in a container of their own, because a viewer fails on measurement groups without a
    region.

    Parameters
    ----------
    source
        The slide.
    result
        Its predictions.
    others
        The other objects of the same result, to be referred to.

    Returns
    -------
    Dataset
        A Comprehensive 3D SR without file meta information.

    Raises
    ------
    BundleError
        If the result has no gene to show.
    """
    require_shown_genes(result)
    dataset = start_object(source, result, REPORT)
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    dataset.CompletionFlag = "COMPLETE"
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.PreliminaryFlag = "FINAL"
    dataset.CurrentRequestedProcedureEvidenceSequence = [_evidence(source, result, others)]
    for element in _document(source, result):
        dataset.add(element)
    return dataset


def _document(source: SourceSlide, result: SlideResult) -> Dataset:
    """Build the root container; TID 1500 is extensible."""
    root = sr.ContainerContentItem(_concept(codes.IMAGING_MEASUREMENT_REPORT), template_id="1500")
    root.ContentSequence = sr.ContentSequence()
    root.ContentSequence.extend(
        sr.LanguageOfContentItemAndDescendants(sr.CodedConcept("en-US", "RFC5646", "English (United States)"))
    )
    root.ContentSequence.extend(_observation_context(source, result.bundle))
    root.ContentSequence.append(
        sr.CodeContentItem(
            _concept(codes.PROCEDURE_REPORTED),
            _concept(codes.LIGHT_MICROSCOPY),
            sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
    )
    if result.hotspots:
        hotspots = _container(codes.IMAGING_MEASUREMENTS)
        for hotspot in result.hotspots:
            hotspots.ContentSequence.extend(_hotspot_group(source, result, hotspot))
        root.ContentSequence.append(hotspots)
    genes = _container(codes.GENES_OVER_ALL_TISSUE)
    for index, panel_gene in enumerate(result.expression.genes):
        genes.ContentSequence.append(_gene_summary(panel_gene, result.expression.values[:, index]))
    root.ContentSequence.append(genes)
    root.ContentSequence.append(_remarks(result))
    return root


def _observation_context(source: SourceSlide, bundle: BundleIdentity) -> sr.ObservationContext:
    device = sr.ObserverContext(
        _concept(codes.DEVICE),
        sr.DeviceObserverIdentifyingAttributes(
            uid=device_uid(bundle),
            name=PRODUCT,
            manufacturer_name=PRODUCT,
            model_name=plain(f"{bundle.bundle_id} {bundle.version}"),
            serial_number=bundle.sha256,
        ),
    )
    return sr.ObservationContext(observer_device_context=device, subject_context=_subject(source.header))


def _subject(header: Dataset) -> sr.SubjectContext | None:
    """Name the specimen (TID 1009); None where the slide does not fully identify exactly one.

    Half a subject is worse than none: a viewer passes over a report without subject, but fails on one that lacks
    an identifier.
    """
    specimens = list(header.get("SpecimenDescriptionSequence") or [])
    container = header.get("ContainerIdentifier")
    if len(specimens) != 1 or not container:
        return None
    uid, identifier = specimens[0].get("SpecimenUID"), specimens[0].get("SpecimenIdentifier")
    if not uid or not identifier:
        return None
    context = sr.SubjectContextSpecimen(str(uid), str(identifier), str(container))
    return sr.SubjectContext(_concept(codes.SPECIMEN), context)


def _hotspot_group(
    source: SourceSlide, result: SlideResult, hotspot: Hotspot
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """Describe a hotspot by its outer outline (TID 1410)."""
    gene = hotspot.gene.gene
    outline = corners_to_slide_mm(source.plane, hotspot.outlines_px[0])
    label = f"High predicted {gene.symbol} expression"
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=result_uid(source, result, REPORT.name, "hotspot", str(hotspot.number)),
            identifier=f"{gene.symbol} hotspot {hotspot.number}",
        ),
        referenced_region=sr.ImageRegion3D(
            sr.GraphicTypeValues3D.POLYGON, np.concatenate([outline, outline[:1]]), source.frame_of_reference_uid
        ),
        finding_type=_concept(codes.for_gene(codes.HIGH_EXPRESSION_REGION, gene, label)),
        method=_concept(codes.INFERRED_FROM_MORPHOLOGY),
        algorithm_id=sr.AlgorithmIdentification(
            plain(result.bundle.bundle_id), plain(result.bundle.version), [f"sha256={result.bundle.sha256}"]
        ),
        measurements=_hotspot_measurements(hotspot),
        qualitative_evaluations=[
            sr.QualitativeEvaluation(_concept(codes.gene_concept(gene)), _concept(codes.gene_code(gene))),
            sr.QualitativeEvaluation(_concept(codes.EVIDENCE), _concept(_EVIDENCE[hotspot.gene.status])),
            sr.QualitativeEvaluation(
                _concept(codes.TISSUE_CLASS), _concept(codes.tissue_class_code(hotspot.tissue_class))
            ),
            sr.QualitativeEvaluation(_concept(codes.INTENDED_USE), _concept(codes.RESEARCH_USE)),
        ],
    )


def _hotspot_measurements(hotspot: Hotspot) -> list[sr.Measurement]:
    unit = codes.UNIT_OF_EXPRESSION
    numbers = [
        _measurement(codes.AREA, hotspot.area_mm2, codes.SQUARE_MILLIMETER),
        _measurement(codes.expression_of(hotspot.gene.gene), hotspot.mean, unit, codes.MEAN),
        _measurement(codes.SIMILAR_TISSUE_MEAN, hotspot.class_mean, unit),
        _measurement(codes.GI_STAR, hotspot.z, codes.NO_UNITS),
        _measurement(codes.GI_STAR_THRESHOLD, hotspot.threshold, codes.NO_UNITS),
        _measurement(codes.NUMBER_OF_TILES, len(hotspot.tiles), codes.NO_UNITS),
        _measurement(codes.MASKED_NEARBY, hotspot.masked_nearby, codes.NO_UNITS),
    ]
    if hotspot.interval is not None:
        lower, upper = hotspot.interval
        numbers += [_measurement(codes.MEAN_LOWER, lower, unit), _measurement(codes.MEAN_UPPER, upper, unit)]
    return numbers


def _gene_summary(panel_gene: PanelGene, values: np.ndarray) -> sr.ContainerContentItem:
    """State a gene's values over all tiles and what is known about its predictability."""
    gene = panel_gene.gene
    summary = _container(codes.GENE_OVER_ALL_TISSUE)
    name, unit = codes.expression_of(gene), codes.UNIT_OF_EXPRESSION
    numbers = [
        _measurement(name, float(values.mean(dtype=np.float64)), unit, codes.MEAN),
        _measurement(name, float(np.percentile(values, 95)), unit, codes.PERCENTILE_95),
        _measurement(codes.HELD_OUT_CORRELATION, panel_gene.held_out_r, codes.NO_UNITS),
        _measurement(codes.NUMBER_HELD_OUT, panel_gene.n_held_out, codes.NO_UNITS),
    ]
    if panel_gene.held_out_interval is not None:
        lower, upper = panel_gene.held_out_interval
        numbers.append(_measurement(codes.HELD_OUT_LOWER, lower, codes.NO_UNITS))
        numbers.append(_measurement(codes.HELD_OUT_UPPER, upper, codes.NO_UNITS))
    if panel_gene.depth_adjusted_r is not None:
        numbers.append(_measurement(codes.DEPTH_ADJUSTED_CORRELATION, panel_gene.depth_adjusted_r, codes.NO_UNITS))
    evaluations = [
        (codes.gene_concept(gene), codes.gene_code(gene)),
        (codes.EVIDENCE, _EVIDENCE[panel_gene.status]),
    ]
    if panel_gene.held_out_unit in _HELD_OUT:
        evaluations.append((codes.HELD_OUT_UNIT, _HELD_OUT[panel_gene.held_out_unit]))
    for concept, value in evaluations:
        summary.ContentSequence.append(sr.CodeContentItem(_concept(concept), _concept(value), _CONTAINS))
    for number in numbers:
        summary.ContentSequence.extend(number)
    if panel_gene.reason:
        summary.ContentSequence.append(_text(codes.COMMENT, panel_gene.reason))
    return summary


def _remarks(result: SlideResult) -> sr.ContainerContentItem:
    """Say what the report is for, how it came about and what its reader must know."""
    remarks = _container(codes.QUALITATIVE_EVALUATIONS)
    remarks.ContentSequence.append(
        sr.CodeContentItem(_concept(codes.INTENDED_USE), _concept(codes.RESEARCH_USE), _CONTAINS)
    )
    if result.hotspots:
        remarks.ContentSequence.append(_text(codes.COMMENT, HOTSPOT))
    for name, value in result.parameters.items():
        remarks.ContentSequence.append(_text(codes.PARAMETER, f"{name}: {value}"))
    for warning in result.warnings:
        remarks.ContentSequence.append(_text(codes.WARNING, warning))
    return remarks


def _container(name: codes.Code) -> sr.ContainerContentItem:
    item = sr.ContainerContentItem(_concept(name), relationship_type=_CONTAINS)
    item.ContentSequence = sr.ContentSequence()
    return item


def _measurement(
    name: codes.Code, value: float, unit: codes.Code, derivation: codes.Code | None = None
) -> sr.Measurement:
    return sr.Measurement(
        _concept(name), value, _concept(unit), derivation=None if derivation is None else _concept(derivation)
    )


def _text(name: codes.Code, value: str) -> sr.TextContentItem:
    return sr.TextContentItem(_concept(name), plain(value, 1024), _CONTAINS)


def _concept(code: codes.Code) -> sr.CodedConcept:
    return sr.CodedConcept(code.value, code.scheme, code.meaning[: codes.MAX_LONG_STRING])


def _evidence(source: SourceSlide, result: SlideResult, others: Sequence[ResultObject]) -> Dataset:
    """Refer to the slide and to the other objects of the result, series by series."""
    series = {source.series_instance_uid: [reference(instance) for instance in source.instances]}
    for other in others:
        item = Dataset()
        item.ReferencedSOPClassUID = other.kind.sop_class_uid
        item.ReferencedSOPInstanceUID = other.instance_uid(source, result)
        series.setdefault(other.series_uid(source, result), []).append(item)
    study = Dataset()
    study.StudyInstanceUID = source.study_instance_uid
    study.ReferencedSeriesSequence = []
    for series_instance_uid, instances in series.items():
        item = Dataset()
        item.SeriesInstanceUID = series_instance_uid
        item.ReferencedSOPSequence = instances
        study.ReferencedSeriesSequence.append(item)
    return study
