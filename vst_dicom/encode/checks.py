"""Proof, before anything is sent, that what was written says what was predicted."""

import re
import shutil
import subprocess
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from vst_dicom.dicom.modules import PATIENT, SPECIMEN, STUDY
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.errors import EncodingError
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.objects import ResultObject, require

_VALIDATOR_TIMEOUT_S: Final = 120

_REFERENCED_SOP_INSTANCE_UID: Final = 0x00081155

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
    known |= {written.instance_uid(source, result) for written in objects}
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


def validate_with_dciodvfy(path: Path) -> list[str] | None:
    """Ask an independent validator, where it is installed.

    Parameters
    ----------
    path
        A DICOM file.

    Returns
    -------
    list of str or None
        Its errors, without repetitions and without values, which may name the patient; None where ``dciodvfy``
        (Debian package dicom3tools) is not installed.

    Raises
    ------
    EncodingError
        If the validator does not end.
    """
    program = shutil.which("dciodvfy")
    if program is None:
        return None
    try:
        run = subprocess.run(  # noqa: S603
            [program, "-new", str(path)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_VALIDATOR_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"dciodvfy did not finish {path.name} in {_VALIDATOR_TIMEOUT_S} s; validate it by hand"
        raise EncodingError(msg) from error
    lines = (run.stdout + run.stderr).splitlines()
    errors = [re.sub(r"= <[^>]*>", "= <...>", line) for line in lines if line.startswith("Error")]
    return list(dict.fromkeys(errors))


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
    referenced = {
        str(item.ReferencedSOPInstanceUID)
        for holder in (dataset, *dataset.get("CurrentRequestedProcedureEvidenceSequence", ()))
        for series in holder.get("ReferencedSeriesSequence", ())
        for item in series.get("ReferencedInstanceSequence", series.get("ReferencedSOPSequence"))
    }
    wanted = {str(instance.SOPInstanceUID) for instance in source.instances}
    require(wanted <= referenced, "does not refer to the whole slide")
    own = Dataset({element.tag: element for element in dataset if element.keyword not in _COPIED})
    for element in own.iterall():
        if element.tag == _REFERENCED_SOP_INSTANCE_UID:
            require(str(element.value) in known, "refers to an instance that neither slide nor result has")
