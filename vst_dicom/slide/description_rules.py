"""What DICOM allows as attribute values of a description (PS3.5 table 6.2-1, section 9.1)."""

import re
from typing import Final

from vst_dicom.domain.errors import UsageError
from vst_dicom.slide.description import SlideDescription

_SHORT: Final = ("accession_number", "study_id")
_LONG: Final = (
    "patient_id",
    "study_description",
    "container_identifier",
    "specimen_identifier",
    "specimen_description",
    "manufacturer",
    "model_name",
    "device_serial_number",
)
_REQUIRED: Final = ("manufacturer", "model_name", "device_serial_number")
_CODED: Final = ("anatomy", "fixation", "embedding")

_FORBIDDEN: Final = re.compile(r"[\\\x00-\x1f\x7f]")
_UID: Final = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_CODE: Final = re.compile(r"[^\\\s]{1,16}")
_SEXES: Final = ("", "M", "F", "O")
_MAX_UID: Final = 64


def check_description(description: SlideDescription) -> None:
    """Refuse values that no DICOM file may hold; messages name the attribute, never the value.

    Raises
    ------
    UsageError
        If a value is too long, holds forbidden characters or is not one of the allowed ones.
    """
    for name in _SHORT:
        _check_text(name, getattr(description, name), 16)
    for name in _LONG:
        _check_text(name, getattr(description, name), 64)
    for version in description.software_versions:
        _check_text("software_versions", version, 64)
    for group in description.patient_name.split("="):
        _check_text("patient_name", group, 64)
    if description.patient_name.count("=") > 2 or any(
        group.count("^") > 4 for group in description.patient_name.split("=")
    ):
        raise _wrong("patient_name", "must be written as Family^Given^Middle^Prefix^Suffix")
    for name in _REQUIRED:
        if not getattr(description, name).strip():
            raise _wrong(name, "must not be empty")
    if not any(version.strip() for version in description.software_versions):
        raise _wrong("software_versions", "must not be empty")
    if description.patient_sex not in _SEXES:
        raise _wrong("patient_sex", "must be M, F or O")
    uid = description.study_instance_uid
    if uid and (len(uid) > _MAX_UID or not _UID.fullmatch(uid)):
        raise _wrong("study_instance_uid", "must be numbers joined by dots, at most 64 characters")
    for name in _CODED:
        _check_code(name, getattr(description, name))


def _check_text(name: str, text: str, n_max: int) -> None:
    if len(text) > n_max:
        raise _wrong(name, f"must be at most {n_max} characters long")
    if _FORBIDDEN.search(text):
        raise _wrong(name, "must hold neither backslashes nor control characters")


def _check_code(name: str, code: tuple[str, str] | None) -> None:
    if code is None:
        return
    if not _CODE.fullmatch(code[0]) or not code[1].strip():
        raise _wrong(name, "must be an SCT code and its meaning, such as 76752008:Breast")
    _check_text(name, code[1], 64)


def _wrong(name: str, rule: str) -> UsageError:
    return UsageError(f"{name.replace('_', ' ')} {rule}")
