"""What a search asks for (PS3.18 8.3.4 and 10.6), and whether attributes match it (PS3.4 C.2.2.2)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

from pydicom.datadict import tag_for_keyword

from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.catalog import Wanted
from vst_dicom.service.dicom_json import Json

MOST_RESULTS: Final = 1000
_LONGEST_VALUE: Final = 1024
_MOST_KEYS: Final = 50
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_UID: Final = re.compile(r"[0-9.]{1,64}")
_NUMBERS: Final = frozenset({"DS", "IS", "FL", "FD", "SL", "SS", "UL", "US", "SV", "UV"})
_TIMES: Final = frozenset({"DA", "TM", "DT"})
_NOT_MATCHED: Final = frozenset({"SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN"})


def _tags(*keywords: str) -> frozenset[int]:
    return frozenset(tag for tag in map(tag_for_keyword, keywords) if tag is not None)


STUDY_TAGS: Final = _tags(
    "SpecificCharacterSet", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
    "TimezoneOffsetFromUTC", "StudyDescription", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "StudyInstanceUID", "StudyID",
)  # fmt: skip
"""Of the header; PS3.18 table 10.6.3-3."""

SERIES_TAGS: Final = _tags(
    "SpecificCharacterSet", "Modality", "TimezoneOffsetFromUTC", "SeriesDescription", "SeriesInstanceUID",
    "SeriesNumber", "SeriesDate", "SeriesTime", "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
    "BodyPartExamined", "Laterality", "Manufacturer", "ContainerIdentifier", "FrameOfReferenceUID",
)  # fmt: skip
"""Of the header; PS3.18 table 10.6.3-4, and by what viewers of slides tell series apart."""

INSTANCE_TAGS: Final = _tags(
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "TimezoneOffsetFromUTC", "InstanceNumber", "Rows",
    "Columns", "BitsAllocated", "NumberOfFrames", "ImageType", "TotalPixelMatrixRows", "TotalPixelMatrixColumns",
    "ContentDate", "ContentTime", "ContentLabel", "ContentDescription",
)  # fmt: skip
"""Of the header; PS3.18 table 10.6.3-5, and what tells levels apart."""

SUMMARY_TAGS: Final = STUDY_TAGS | SERIES_TAGS | INSTANCE_TAGS

MODALITIES_IN_STUDY: Final = "00080061"
_MODALITY: Final = "00080060"
_WANTED: Final = {
    "0020000D": "study_instance_uids",
    "0020000E": "series_instance_uids",
    "00080018": "sop_instance_uids",
    "00080016": "sop_class_uids",
}


@dataclass(frozen=True, slots=True)
class Query:
    """A search.

    Parameters
    ----------
    wanted
        UIDs, which the ledger finds.
    keys
        Values by tag, eight hexadecimal digits, which headers are compared with.
    include
        Tags of further attributes to return.
    include_all
        Whether to return all that a header has.
    is_fuzzy
        Whether the beginning of any part of a name matches.
    limit, offset
        How many results, after how many that are left out.
    """

    wanted: Wanted
    keys: dict[str, str]
    include: frozenset[int]
    include_all: bool
    is_fuzzy: bool
    limit: int
    offset: int

    @property
    def tags(self) -> frozenset[int]:
        """Tags that headers are asked for beyond the usual ones."""
        return self.include | {int(key, 16) for key in self.keys if key != MODALITIES_IN_STUDY}

    def matches(self, row: Json) -> bool:
        """Whether a row has all values asked for."""
        return all(
            matches_element(row.get(key, {}), wanted, is_fuzzy=self.is_fuzzy) for key, wanted in self.keys.items()
        )


def parse_query(parameters: Iterable[tuple[str, str]], *, of_studies: bool = False, **uids: str) -> Query:
    """Parse the parameters of a search.

    Parameters
    ----------
    parameters
        Names and values as they came.
    of_studies
        Whether studies are searched, which have several modalities.
    uids
        UIDs of the path, by the fields of `Wanted` without the plural.

    Raises
    ------
    UsageError
        If a parameter is not understood; its value is not repeated.
    """
    wanted: dict[str, tuple[str, ...]] = {f"{name}s": (uid,) for name, uid in uids.items() if uid}
    keys: dict[str, str] = {}
    include: set[int] = set()
    numbers = {"limit": MOST_RESULTS, "offset": 0}
    include_all = is_fuzzy = False
    for name, value in parameters:
        if len(value) > _LONGEST_VALUE or len(keys) > _MOST_KEYS:
            raise UsageError("the query is too long")
        if name in numbers:
            numbers[name] = _count(name, value)
        elif name == "fuzzymatching":
            is_fuzzy = value.lower() == "true"
        elif name == "includefield":
            names = [part for part in value.split(",") if part]
            include_all = include_all or "all" in names
            include |= {parse_tag(part) for part in names if part != "all"}
        elif name != "accept":
            key = f"{parse_tag(name):08X}"
            if key in _WANTED:
                wanted[_WANTED[key]] = _narrower(wanted.get(_WANTED[key]), _uids(name, value))
            elif value:
                keys[MODALITIES_IN_STUDY if of_studies and key == _MODALITY else key] = value
    limit = min(numbers["limit"], MOST_RESULTS)
    return Query(Wanted(**wanted), keys, frozenset(include), include_all, is_fuzzy, limit, numbers["offset"])


def _narrower(known: tuple[str, ...] | None, asked: tuple[str, ...]) -> tuple[str, ...]:
    """UIDs that both the path and the query name; one that nothing has if there are none."""
    if not known or not asked:
        return known or asked
    return tuple(uid for uid in asked if uid in known) or ("0",)


def parse_tag(name: str) -> int:
    """Parse the name or tag of an attribute.

    Raises
    ------
    UsageError
        If there is none of this name.
    """
    tag = int(name, 16) if _TAG.fullmatch(name) else tag_for_keyword(name)
    if tag is None:
        raise UsageError("the query names an attribute that is not known, or one within a sequence")
    return tag


def _uids(name: str, value: str) -> tuple[str, ...]:
    uids = tuple(part for part in re.split(r"[,\\]", value) if part)
    if len(uids) > MOST_RESULTS or not all(_UID.fullmatch(uid) for uid in uids):
        msg = f"the query's {name} is no list of UIDs"
        raise UsageError(msg)
    return uids


def _count(name: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 9:
        msg = f"{name} is not a whole number"
        raise UsageError(msg)
    return int(value)


def matches_element(element: Json, wanted: str, *, is_fuzzy: bool) -> bool:
    """Whether an attribute in the DICOM JSON model has a value asked for (PS3.4 C.2.2.2)."""
    vr, values = element.get("vr", ""), element.get("Value", [])
    if vr in _NOT_MATCHED:
        return False
    return any(_matches_value(vr, value, wanted, is_fuzzy=is_fuzzy) for value in values)


def _matches_value(vr: str, value: object, wanted: str, *, is_fuzzy: bool) -> bool:
    if isinstance(value, dict):  # a person's name in up to three writings
        names = [str(name).casefold() for name in value.values()]
        return any(_matches_name(name, wanted.casefold(), is_fuzzy=is_fuzzy) for name in names)
    text = str(value)
    if vr in _NUMBERS:
        return _is_same_number(text, wanted)
    if vr in _TIMES and "-" in wanted and vr != "DT":
        first, _, last = wanted.partition("-")
        return (not first or text >= first) and (not last or text[: len(last)] <= last)
    if vr == "UI":
        return text in re.split(r"[,\\]", wanted)
    return _has_pattern(text, wanted)


def _matches_name(name: str, wanted: str, *, is_fuzzy: bool) -> bool:
    if _has_pattern(name, wanted):
        return True
    parts = [part for part in re.split(r"[\^ ]+", name) if part]
    asked = [part.strip("*?") for part in re.split(r"[\^ ]+", wanted)]
    return is_fuzzy and all(any(part.startswith(word) for part in parts) for word in asked if word)


def _has_pattern(text: str, wanted: str) -> bool:
    """Wild card matching (PS3.4 C.2.2.2.4); brackets mean nothing."""
    return re.fullmatch(translate(wanted.replace("[", "[[]")), text) is not None


def _is_same_number(text: str, wanted: str) -> bool:
    try:
        return float(text) == float(wanted)
    except ValueError:
        return False
