"""Findings as a structured report: Comprehensive 3D SR, Measurement Report (PS3.16 TID 1500)."""

from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.result import BundleIdentity, SlideResult
from vst_dicom.domain.wording import HOTSPOT, PRODUCT
from vst_dicom.encode.content_items import Relationship, code, container, template_item, text, uid
from vst_dicom.encode.objects import ResultObject
from vst_dicom.encode.provenance import (
    REPORT,
    device_uid,
    plain,
    reference,
    require_shown_genes,
    start_object,
)
from vst_dicom.encode.report_check import check_report
from vst_dicom.encode.report_values import (
    MAX_TEXT,
    Sources,
    gene_summary,
    hotspot_group,
    signature_summary,
    tissue_summary,
)

_MEASUREMENT_REPORT: Final = "1500"
"""Template of the whole."""


def report_objects(source: SourceSlide, result: SlideResult, others: Sequence[ResultObject]) -> list[ResultObject]:
    """Report of a result, which refers to its other objects; none where no gene is shown."""
    if not result.expression.genes:
        return []
    listed = tuple(others)
    return [
        ResultObject(
            REPORT,
            lambda: encode_report(source, result, listed),
            lambda dataset: check_report(dataset, source, result, listed),
        )
    ]


def encode_report(source: SourceSlide, result: SlideResult, others: Sequence[ResultObject] = ()) -> Dataset:
    """Encode what was found on the slide: hotspot by hotspot, then gene by gene and signature by signature.

    Hotspots are polygons in the slide's frame of reference, and the subject is the specimen, as viewers ask. A
    region excludes a segment in the same group (PS3.16 TID 1410), so the segment is named as the source of the
    hotspot's area, and the frame of the map as the source of its mean (PS3.16 TID 320). Values over all tissue stand
    in containers of their own, because a viewer fails on measurement groups without a region.

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
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = [codes.IMAGING_MEASUREMENT_REPORT.to_item()]
    dataset.ContinuityOfContent = "SEPARATE"
    dataset.ContentTemplateSequence = [template_item(_MEASUREMENT_REPORT)]
    dataset.ContentSequence = [*_context(source, result.bundle), *_content(source, result, others)]
    return dataset


def _content(source: SourceSlide, result: SlideResult, others: Sequence[ResultObject]) -> list[Dataset]:
    """Make the containers under the root; TID 1500 is extensible."""
    sources = Sources.among(source, result, others)
    items = []
    if result.hotspots:
        groups = [hotspot_group(source, result, hotspot, sources) for hotspot in result.hotspots]
        items.append(container(codes.IMAGING_MEASUREMENTS, groups))
    items.append(tissue_summary(source, result))
    genes = [gene_summary(result, index, sources) for index in range(len(result.expression.genes))]
    items.append(container(codes.GENES_OVER_ALL_TISSUE, genes))
    shown = [(score.signature, score.values) for score in result.signatures if score.values is not None]
    if shown:
        signatures = [signature_summary(signature, values) for signature, values in shown]
        items.append(container(codes.SIGNATURES_OVER_ALL_TISSUE, signatures))
    items.append(_remarks(result))
    return items


def _context(source: SourceSlide, bundle: BundleIdentity) -> list[Dataset]:
    """Say in what language, by what device and about what the report speaks (PS3.16 TID 1204, 1001)."""
    context, modifier = Relationship.CONTEXT, Relationship.MODIFIER
    return [
        code(codes.LANGUAGE, codes.AMERICAN_ENGLISH, modifier),
        code(codes.OBSERVER_TYPE, codes.DEVICE, context),
        uid(codes.OBSERVER_UID, device_uid(bundle), context),
        text(codes.OBSERVER_NAME, PRODUCT, context),
        text(codes.OBSERVER_MANUFACTURER, PRODUCT, context),
        text(codes.OBSERVER_MODEL, plain(f"{bundle.bundle_id} {bundle.version}"), context),
        text(codes.OBSERVER_SERIAL_NUMBER, bundle.sha256, context),
        *_subject(source.header),
        code(codes.PROCEDURE_REPORTED, codes.LIGHT_MICROSCOPY, modifier),
    ]


def _subject(header: Dataset) -> list[Dataset]:
    """Name the specimen (PS3.16 TID 1009); nothing where the slide does not fully identify exactly one.

    Half a subject is worse than none: a viewer passes over a report without subject, but fails on one that lacks
    an identifier.
    """
    specimens = list(header.get("SpecimenDescriptionSequence") or [])
    container_identifier = header.get("ContainerIdentifier")
    if len(specimens) != 1 or not container_identifier:
        return []
    specimen_uid, identifier = specimens[0].get("SpecimenUID"), specimens[0].get("SpecimenIdentifier")
    if not specimen_uid or not identifier:
        return []
    context = Relationship.CONTEXT
    return [
        code(codes.SUBJECT_CLASS, codes.SPECIMEN, context),
        uid(codes.SPECIMEN_UID, str(specimen_uid), context),
        text(codes.SPECIMEN_IDENTIFIER, str(identifier), context),
        text(codes.CONTAINER_IDENTIFIER, str(container_identifier), context),
    ]


def _remarks(result: SlideResult) -> Dataset:
    """Say what the report is for, how it came about and what its reader must know."""
    items = [code(codes.INTENDED_USE, codes.RESEARCH_USE)]
    if result.hotspots:
        items.append(text(codes.COMMENT, plain(HOTSPOT, MAX_TEXT)))
    if result.interval_note:
        items.append(text(codes.COMMENT, plain(result.interval_note, MAX_TEXT)))
    if result.computed:
        items.append(text(codes.COMMENT, plain(f"Computed {result.computed}", MAX_TEXT)))
    items += [text(codes.PARAMETER, plain(f"{name}: {value}", MAX_TEXT)) for name, value in result.parameters.items()]
    items += [text(codes.WARNING, plain(warning, MAX_TEXT)) for warning in result.warnings]
    return container(codes.QUALITATIVE_EVALUATIONS, items)


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
