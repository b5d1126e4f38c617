"""What an independent validator says about written objects, and which of its findings are accepted."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID

from vst_dicom.dicom.modules import EQUIPMENT, PATIENT, SPECIMEN, STUDY
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.errors import EncodingError
from vst_dicom.encode.objects import ResultObject

_TIMEOUT_S: Final = 120

_OR: Final = "validate it by hand, or set independent_validator = false"

_N_PROCESSES: Final = 2

_YOUNG: Final = {"1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation"}
"""SOP Classes that the dictionary does not have yet."""

_INDEX: Final = re.compile(r"(?<=\))\[\d+\]|(?<=/Item)\[\d+\]")
"""Which item of a sequence, or value of several, a finding is about: ``[3]`` after a tag, ``Item[3]``."""


@dataclass(frozen=True, slots=True)
class AcceptedFinding:
    """What a validator reports although the object is right.

    Parameters
    ----------
    program
        Which validator: ``dciodvfy``, ``dcentvfy``, ``DicomSRValidator``, ``DicomInstanceValidator`` or
        ``dicom-validator``.
    message
        Regular expression that finds it in a line of the validator's output, without indices of items and values.
    objects
        Names of the SOP Classes that it is accepted for, without "Storage"; all if empty.
    reason
        Why it is accepted.
    reference
        Where the standard says so.
    """

    program: str
    message: re.Pattern[str]
    objects: tuple[str, ...]
    reason: str
    reference: str

    def covers(self, program: str, sop_class_uid: str, line: str) -> bool:
        """Whether a line of a validator's output is this finding."""
        right_object = not self.objects or name_of(sop_class_uid) in self.objects
        return program == self.program and right_object and self.message.search(without_indices(line)) is not None


def name_of(sop_class_uid: str) -> str:
    """Name a SOP Class as in PS3.6, without "Storage"."""
    return _YOUNG.get(sop_class_uid) or UID(sop_class_uid).name.removesuffix(" Storage")


def without_indices(line: str) -> str:
    """Leave out of a finding which item of a sequence it is about."""
    return _INDEX.sub("", line)


@cache
def accepted_findings() -> tuple[AcceptedFinding, ...]:
    """Read the table of accepted findings, ``accepted_findings.toml``."""
    table = tomllib.loads(files("vst_dicom.encode").joinpath("accepted_findings.toml").read_text(encoding="utf-8"))
    return tuple(
        AcceptedFinding(
            program=entry["program"],
            message=re.compile(entry["message"]),
            objects=tuple(entry.get("objects", ())),
            reason=entry["reason"],
            reference=entry["reference"],
        )
        for entry in table["finding"]
    )


def ask_dciodvfy(path: Path) -> list[str] | None:
    """Ask the validator of dicom3tools about one file.

    Parameters
    ----------
    path
        A DICOM file.

    Returns
    -------
    list of str or None
        Its errors and warnings, each once, as it words them: they may quote values. None where ``dciodvfy`` (Debian
        package dicom3tools) is not installed.

    Raises
    ------
    EncodingError
        If the validator does not end, or dies.
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
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"dciodvfy did not finish {path.name} in {_TIMEOUT_S} s; {_OR}"
        raise EncodingError(msg) from error
    if run.returncode < 0:
        msg = f"dciodvfy died of {path.name} (signal {-run.returncode}); {_OR}"
        raise EncodingError(msg)
    lines = (run.stdout + run.stderr).splitlines()
    return list(dict.fromkeys(line for line in lines if line.startswith(("Error", "Warning"))))


def validate_objects(source: SourceSlide, objects: Sequence[ResultObject], folder: Path) -> None:
    """Let an independent validator judge written objects, where it is installed.

    Its errors refuse an object, unless the table accepts them, or they are about what the slide itself says of
    patient, study, specimen or scanner, which results repeat as it is. Warnings refuse nothing.

    Parameters
    ----------
    source
        The slide.
    objects
        The DICOM objects of the result.
    folder
        Where they were written.

    Raises
    ------
    EncodingError
        If an object is refused; the message names the finding, without values, which may name the patient.
    """

    def judge(written: ResultObject) -> list[str]:
        found = ask_dciodvfy(folder / written.file_name) or []
        return [line for line in found if line.startswith("Error") and not _is_accepted(line, written, source.header)]

    with ThreadPoolExecutor(_N_PROCESSES) as pool:
        judged = list(pool.map(judge, objects))
    refused = {written.file_name: errors for written, errors in zip(objects, judged, strict=True) if errors}
    for file_name, errors in refused.items():
        said = "; ".join(dict.fromkeys(without_values(line) for line in errors))
        msg = (
            f"{file_name} breaks the standard, says dciodvfy: {said}. Nothing of this result may be sent; "
            "report it with the bundle and the slide's UID"
        )
        raise EncodingError(msg)


def without_values(line: str) -> str:
    """Leave out of a finding what may name the patient."""
    return without_indices(line.split(" = <", maxsplit=1)[0])


def _is_accepted(line: str, written: ResultObject, header: Dataset) -> bool:
    """Accept what the table has, what the slide itself says, and that it does not describe its specimen."""
    if any(known.covers("dciodvfy", written.kind.sop_class_uid, line) for known in accepted_findings()):
        return True
    path = re.findall(r"(\w+)\([0-9a-f]{4},[0-9a-f]{4}\)", line)
    if not path:
        return False
    of_scanner = path[0] == "ContributingEquipmentSequence" and path[-1] in EQUIPMENT
    repeated = path[0] in (*PATIENT, *STUDY) and bool(header.get(path[0]))
    return of_scanner or repeated or path[0] in SPECIMEN
