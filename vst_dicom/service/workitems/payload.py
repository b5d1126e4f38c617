"""Data sets that others send in the DICOM JSON model: limited in every direction, and checked value by value."""

import json
import warnings
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.valuerep import validate_value
from starlette.exceptions import HTTPException

from vst_dicom.dicom.procedure_step import Json
from vst_dicom.domain.errors import UsageError
from vst_dicom.service.representations import DICOM_JSON

MOST_BYTES: Final = 1 << 20
_DEEPEST: Final = 8
"""Sequences in each other."""

_MOST_ELEMENTS: Final = 10_000
_LONGEST_VALUE: Final = 10_240
_HEXADECIMAL: Final = frozenset("0123456789ABCDEF")
_INTEGERS: Final = frozenset({"IS", "SL", "SS", "UL", "US", "SV", "UV"})
_REALS: Final = frozenset({"DS", "FD", "FL"})
_NAME_PARTS: Final = frozenset({"Alphabetic", "Ideographic", "Phonetic"})
_NOT_OURS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "AT"})
_CHARACTER_SET: Final = "00080005"
_SPECIFIC_CHARACTER_SET: Final = {"vr": "CS", "Value": ["ISO_IR 192"]}


async def read_data_set(request: Request) -> tuple[Json, bool]:
    """Read the data set that a request carries.

    Returns
    -------
    tuple[Json, bool]
        It, and whether attributes that this worklist does not keep, private ones or bulk data, were left out. Empty
        where the request has no body.

    Raises
    ------
    HTTPException
        413 or 415 if it is too long or no JSON.
    UsageError
        If it is no data set; values are not repeated.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send at most {MOST_BYTES >> 20} MiB")
    if not body.strip():
        return {}, False
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in DICOM_JSON or "content-encoding" in request.headers:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send Content-Type: {DICOM_JSON[0]}, not compressed")
    return parse_data_set(body)


def parse_data_set(body: bytes) -> tuple[Json, bool]:
    """Parse a data set, or a list of one, see `read_data_set`."""
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError("the body is no JSON that could be read") from error
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    if not isinstance(content, dict):
        raise UsageError("the body is not one data set in the DICOM JSON model (PS3.18 F.2)")
    reader = _Reader()
    attributes = reader.read(content, 0)
    if attributes or _CHARACTER_SET in content:
        attributes[_CHARACTER_SET] = dict(_SPECIFIC_CHARACTER_SET)
    return dict(sorted(attributes.items())), reader.left_out


class _Reader:
    def __init__(self) -> None:
        self.left_out = False
        self._n_elements = 0

    def read(self, content: Mapping[str, Any], depth: int) -> Json:
        if depth > _DEEPEST:
            raise UsageError("the data set has too many sequences in each other")
        found: Json = {}
        for name, element in content.items():
            self._n_elements += 1
            if self._n_elements > _MOST_ELEMENTS:
                raise UsageError("the data set has too many attributes")
            key = name.upper()
            if len(key) != 8 or not _HEXADECIMAL.issuperset(key) or not isinstance(element, dict):
                raise UsageError("the data set has a member that is no attribute")
            tag = int(key, 16)
            if key == _CHARACTER_SET or tag >> 16 <= 2:
                continue
            keyword = keyword_for_tag(tag)
            vr = dictionary_VR(tag) if keyword else ""
            if not keyword or vr in _NOT_OURS or " " in vr or "BulkDataURI" in element or "InlineBinary" in element:
                self.left_out = True
                continue
            if element.get("vr", vr) != vr or key in found:
                raise UsageError(f"{keyword} ({key[:4]},{key[4:]}) has not the value representation {vr}")
            values = element.get("Value", [])
            try:
                if not isinstance(values, list):
                    raise TypeError
                parsed = [self._value(vr, value, depth) for value in values]
            except (TypeError, ValueError, OverflowError) as error:
                raise UsageError(f"{keyword} ({key[:4]},{key[4:]}) has a value that is no {vr}") from error
            found[key] = {"vr": vr, "Value": parsed} if any(value is not None for value in parsed) else {"vr": vr}
        return found

    def _value(self, vr: str, value: Any, depth: int) -> Any:
        if vr == "SQ":
            if value is None:
                return {}
            if not isinstance(value, dict):
                raise TypeError
            return self.read(value, depth + 1)
        if value is None or value == "":
            return None
        if vr == "PN":
            return _person_name(value)
        if vr in _INTEGERS or vr in _REALS:
            return _number(vr, value)
        if not isinstance(value, str) or len(value) > _LONGEST_VALUE or "\0" in value:
            raise TypeError
        _validate(vr, value)
        return value


def _person_name(value: Any) -> Json:
    if not isinstance(value, dict) or not _NAME_PARTS.issuperset(value):
        raise TypeError
    if not all(isinstance(part, str) and len(part) <= 324 and part.isprintable() for part in value.values()):
        raise TypeError
    return dict(value)


def _number(vr: str, value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 32:
        raise TypeError
    number = float(value)
    if vr in _INTEGERS:
        if number != int(number):
            raise ValueError
        return int(value) if isinstance(value, str) else int(number)
    if number in (float("inf"), float("-inf")) or number != number:  # noqa: PLR0124 - NaN
        raise ValueError
    return number


def _validate(vr: str, value: str) -> None:
    """Check a text as its value representation wants it (PS3.5 6.2); pydicom's message quotes it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value.encode()  # half of a surrogate pair is no text
            validate_value(vr, value, RAISE)
    except Exception as error:
        raise ValueError from error


def _refuse_constant(_name: str) -> None:
    raise ValueError
