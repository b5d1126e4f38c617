"""What is sent: complete DICOM files, named by their file meta information."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from vst_dicom.domain.errors import DamagedInstanceError, MissingInputError, NotDicomError

_DICOM_PREFIX: Final = b"DICM"


@dataclass(frozen=True, slots=True)
class InstanceFile:
    """One SOP instance in a complete DICOM file (PS3.10).

    Parameters
    ----------
    path
        The file.
    sop_class_uid, sop_instance_uid, transfer_syntax_uid
        From the file meta information (0002,0002), (0002,0003) and (0002,0010).
    n_bytes
        Size of the file.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class SentInstance:
    """How notices and queries refer to an instance.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid, series_instance_uid, study_instance_uid
        Its place in the hierarchy.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


def read_instance_file(path: Path, sha256: str = "") -> InstanceFile:
    """Read the file meta information, and compare the file's hash where one is known.

    Raises
    ------
    MissingInputError
        If the file is not there.
    NotDicomError
        If it is not a complete DICOM file.
    DamagedInstanceError
        If its bytes are not the ones that were written.
    """
    try:
        meta = read_file_meta_info(path)
        n_bytes = path.stat().st_size
        sop_class_uid, sop_instance_uid = str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID)
        transfer_syntax_uid = str(meta.TransferSyntaxUID)
    except FileNotFoundError as error:
        msg = f"there is no file {path}"
        raise MissingInputError(msg) from error
    except (OSError, InvalidDicomError, AttributeError, ValueError) as error:
        msg = f"{path} is not a complete DICOM file: its file meta information (PS3.10 7.1) cannot be read"
        raise NotDicomError(msg) from error
    if sha256 and _sha256(path) != sha256:
        msg = f"{path} changed since it was written, so it is not sent; restore it, or run its job again"
        raise DamagedInstanceError(msg)
    return InstanceFile(path, sop_class_uid, sop_instance_uid, transfer_syntax_uid, n_bytes)


def find_instance_files(places: Sequence[Path]) -> list[InstanceFile]:
    """Find the DICOM files in folders and below them; everything else is passed over.

    Raises
    ------
    MissingInputError
        If a place does not exist, or nowhere lies a DICOM file.
    """
    found: dict[str, InstanceFile] = {}
    for place in places:
        if not place.exists():
            msg = f"there is no {place}"
            raise MissingInputError(msg)
        paths = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        for path in paths:
            if _is_dicom(path):
                instance = read_instance_file(path)
                found.setdefault(instance.sop_instance_uid, instance)
    if not found:
        msg = f"no DICOM file in {', '.join(map(str, places))}"
        raise MissingInputError(msg)
    return list(found.values())


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(128)
        return file.read(4) == _DICOM_PREFIX


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
