"""Proof, before anything is sent, that what was written says what was predicted."""

from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from vst_dicom.dicom import codes
from vst_dicom.dicom.modules import PATIENT, SPECIMEN, STUDY
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.errors import EncodingError
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.objects import ResultObject, require

_REFERENCED_SOP_INSTANCE_UID: Final = 0x00081155

_CODE_VALUES: Final = (0x00080100, 0x00080119)
"""Code Value and Long Code Value."""

_NAMES_A_GENE: Final = frozenset((codes.GENE_STUDIED.value, codes.GENE_SYMBOL.value))

_COPIED: Final = frozenset((*PATIENT, *STUDY, *SPECIMEN))
"""What is the slide's own, with its references."""


def check_result(source: SourceSlide, result: SlideResult, objects: Sequence[ResultObject], folder: Path) -> None:
    """Read written objects back and compare them with the slide and the result.

    Parameters
    ----------
    source
        The slide.
    result
        What was to be written.
    objects
        The DICOM objects of the result.
    folder
        Where they were written.

    Raises
    ------
    EncodingError
        If a file cannot be read, belongs elsewhere, refers to what is not there, or says something else than the
        result.
    """
    known = {str(instance.SOPInstanceUID) for instance in source.instances}
    own = [written.instance_uid(source, result) for written in objects]
    require(len(set(own)) == len(own), "two objects of the result have one UID")
    known.update(own)
    shown: dict[str, list[set[str]]] = {}
    for written in objects:
        try:
            dataset = dcmread(folder / written.file_name)
        except (OSError, InvalidDicomError, EOFError) as error:
            msg = f"{written.file_name} cannot be read back: {error}"
            raise EncodingError(msg) from error
        try:
            _check_identity(dataset, written, source, result)
            _check_references(dataset, source, known)
            written.check(dataset)
            if dataset.Modality == "SR":
                require(set(own) <= _evidence(dataset) | {str(dataset.SOPInstanceUID)}, "leaves out an object")
                _check_citations(dataset, shown)
            else:
                shown[str(dataset.SOPInstanceUID)] = _codes_shown(dataset)
        except EncodingError as error:
            msg = (
                f"{written.file_name} {error}; nothing of this result may be sent, "
                "report it with the bundle and the slide's UID"
            )
            raise EncodingError(msg) from error
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            msg = (
                f"{written.file_name} is incomplete: {type(error).__name__} on reading it back; write the result again"
            )
            raise EncodingError(msg) from error


def _check_identity(dataset: Dataset, written: ResultObject, source: SourceSlide, result: SlideResult) -> None:
    header = source.header
    require(dataset.SOPClassUID == written.kind.sop_class_uid, "is of another kind")
    require(dataset.SOPInstanceUID == written.instance_uid(source, result), "has another UID")
    require(dataset.SeriesInstanceUID == written.series_uid(source, result), "has another series")
    require(dataset.StudyInstanceUID == source.study_instance_uid, "is in another study")
    for keyword in ("PatientID", "PatientName", "ContainerIdentifier"):
        require(
            str(dataset.get(keyword) or "") == str(header.get(keyword) or ""), f"has another {keyword} than the slide"
        )
    if dataset.Modality != "SR":
        same = dataset.FrameOfReferenceUID == source.frame_of_reference_uid
        require(same, "is in another frame of reference")


def _check_references(dataset: Dataset, source: SourceSlide, known: Set[str]) -> None:
    """Hold that the whole slide is referred to, and nothing that neither the slide nor this result has."""
    wanted = {str(instance.SOPInstanceUID) for instance in source.instances}
    require(wanted <= _evidence(dataset), "does not refer to the whole slide")
    own = Dataset({element.tag: element for element in dataset if element.keyword not in _COPIED})
    for element in own.iterall():
        if element.tag == _REFERENCED_SOP_INSTANCE_UID:
            require(str(element.value) in known, "refers to an instance that neither slide nor result has")


def _evidence(dataset: Dataset) -> set[str]:
    """Find the instances that an object says it rests on."""
    return {
        str(item.ReferencedSOPInstanceUID)
        for holder in (dataset, *dataset.get("CurrentRequestedProcedureEvidenceSequence", ()))
        for series in holder.get("ReferencedSeriesSequence", ())
        for item in series.get("ReferencedInstanceSequence", series.get("ReferencedSOPSequence"))
    }


def _codes_shown(dataset: Dataset) -> list[set[str]]:
    """List the codes by which each frame of a map, or each segment, says what it shows."""
    described = [
        *dataset.get("SegmentSequence", ()),
        *[
            groups.RealWorldValueMappingSequence[0]
            for groups in dataset.get("PerFrameFunctionalGroupsSequence", ())
            if "RealWorldValueMappingSequence" in groups
        ],
    ]
    return [{str(element.value) for element in item.iterall() if element.tag in _CODE_VALUES} for item in described]


def _check_citations(report: Dataset, shown: Mapping[str, Sequence[Set[str]]]) -> None:
    """Hold that each frame or segment that a number refers to shows the gene that the number is about."""
    for holder, gene in _cited(report, ""):
        (image,) = holder.ReferencedSOPSequence
        place = image.get("ReferencedFrameNumber") or image.ReferencedSegmentNumber
        frames = shown[str(image.ReferencedSOPInstanceUID)]
        require(1 <= int(place) <= len(frames), "refers to a frame or segment that is not there")
        require(gene in frames[int(place) - 1], "refers to a frame or segment of another gene")


def _cited(item: Dataset, gene: str) -> Iterator[tuple[Dataset, str]]:
    """Go through all references to images, each with the gene that its container names."""
    children = item.get("ContentSequence", ())
    for child in children:
        if child.ValueType == "CODE" and child.ConceptNameCodeSequence[0].get("CodeValue") in _NAMES_A_GENE:
            (code,) = child.ConceptCodeSequence
            gene = str(code.get("CodeValue") or code.LongCodeValue)
    for child in children:
        if child.ValueType == "IMAGE":
            yield child, gene
        yield from _cited(child, gene)
