"""Typed reading of attributes that may be missing, empty or broken.

pydicom converts a value when it is first touched and then raises whatever the conversion raised. Here every failure
becomes one error that names the attribute and never its value, which may belong to a patient.
"""

import re
import warnings
from collections.abc import Sequence
from typing import Any, Final

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from vst_dicom.domain.errors import DamagedInstanceError

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")


def name_attribute(keyword: str) -> str:
    """Write keyword and tag as messages name an attribute, such as ``Rows (0028,0010)``."""
    tag = tag_for_keyword(keyword)
    return keyword if tag is None else f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def read_text(dataset: Dataset, keyword: str) -> str:
    """Read text, several values joined by a backslash; empty where it is missing."""
    value = _value(dataset, keyword)
    return "\\".join(str(part).strip() for part in _as_list(value))


def read_texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Read each value of an attribute of text; none where it is missing."""
    return tuple(str(part).strip() for part in _as_list(_value(dataset, keyword)))


def is_uid(text: str) -> bool:
    """Whether a text has the form of a UID (PS3.5 9.1)."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def read_uid(dataset: Dataset, keyword: str) -> str:
    """Read a UID; empty where it is missing.

    Raises
    ------
    DamagedInstanceError
        If it has not the form of a UID: identifiers name files, so nothing else may pass.
    """
    uid = read_text(dataset, keyword)
    if uid and not is_uid(uid):
        msg = f"{name_attribute(keyword)} is not a valid UID"
        raise DamagedInstanceError(msg)
    return uid


def read_int(dataset: Dataset, keyword: str) -> int | None:
    """Read a whole number; None where it is missing.

    Raises
    ------
    DamagedInstanceError
        If the attribute holds anything but one whole number.
    """
    values = _as_list(_value(dataset, keyword))
    if not values:
        return None
    try:
        (number,) = values
        return int(number)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"{name_attribute(keyword)} is not a whole number"
        raise DamagedInstanceError(msg) from error


def read_numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Read numbers; None where it is missing.

    Raises
    ------
    DamagedInstanceError
        If it does not hold exactly `count` numbers. They may be infinite or NaN: the caller knows the limits.
    """
    values = _as_list(_value(dataset, keyword))
    if not values:
        return None
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"{name_attribute(keyword)} is not a number"
        raise DamagedInstanceError(msg) from error
    if len(numbers) != count:
        msg = f"{name_attribute(keyword)} has {len(numbers)} values instead of {count}"
        raise DamagedInstanceError(msg)
    return numbers


def read_items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Read the items of a sequence; none where it is missing, empty or not a sequence."""
    return tuple(item for item in _as_list(_value(dataset, keyword)) if isinstance(item, Dataset))


def _value(dataset: Dataset, keyword: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom quotes values in its warnings
            return dataset.get(keyword)
    except Exception as error:
        msg = f"{name_attribute(keyword)} cannot be read"
        raise DamagedInstanceError(msg) from error


def _as_list(value: Any) -> list[Any]:
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    if hasattr(value, "__iter__") and not isinstance(value, str | bytes | Dataset) and hasattr(value, "__len__"):
        return list(value)
    return [value]
