"""Unified Procedure Steps in the DICOM JSON model: what their attributes must be, when (PS3.4 CC.2.5-3).

The names are those of PS3.6. Where an attribute must be there but may be empty, an empty one is added instead of
refusing what left it out: many managers do.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

from vst_dicom.dicom.attributes import name_attribute
from vst_dicom.dicom.codes import Code
from vst_dicom.domain.errors import ConflictError, UsageError

Json = dict[str, Any]

UPS_PUSH: Final = "1.2.840.10008.5.1.4.34.6.1"
"""SOP class of all Unified Procedure Steps (PS3.4 CC.3.1)."""

UPS_EVENT: Final = "1.2.840.10008.5.1.4.34.6.4"
WORKLIST: Final = "1.2.840.10008.5.1.4.34.5"
"""Well-known UID of the global subscription (PS3.4 CC.2.3.1)."""

FILTERED_WORKLIST: Final = "1.2.840.10008.5.1.4.34.5.1"

DISCONTINUED: Final = Code("110513", "DCM", "Discontinued for unspecified reason")
EQUIPMENT_FAILURE: Final = Code("110501", "DCM", "Equipment failure")
OBJECTS_NOT_SUPPORTED: Final = Code("110522", "DCM", "Object Types not supported")

_ALLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    "ScheduledProcedureStepPriority": ("HIGH", "MEDIUM", "LOW"),
    "InputReadinessState": ("INCOMPLETE", "UNAVAILABLE", "READY"),
}


class Rule(Enum):
    """What a request must say about an attribute."""

    VALUE = auto()
    """Type 1: there, with a value."""

    EMPTY_ALLOWED = auto()
    """Type 2: there, if only empty."""

    EMPTY = auto()
    """Only empty."""

    OPTIONAL = auto()
    """Type 3, or conditional."""

    VALUE_IF_THERE = auto()
    """Type 3 for whoever asks, 1 for whoever keeps it: it cannot be emptied."""

    FORBIDDEN = auto()
    """Not allowed: the worklist sets it itself, or it never changes."""


class EndRule(Enum):
    """When an attribute must have a value before the step may end (PS3.4 CC.2.5.1.1)."""

    REQUIRED = auto()
    """R: before either final state."""

    PERFORMED = auto()
    """P: before COMPLETED."""

    CANCELED = auto()
    """X: before CANCELED."""

    OPTIONAL = auto()
    """O."""


_V, _2, _E, _O, _S, _N = (
    Rule.VALUE, Rule.EMPTY_ALLOWED, Rule.EMPTY, Rule.OPTIONAL, Rule.VALUE_IF_THERE, Rule.FORBIDDEN
)  # fmt: skip
_R, _P, _X, _o = EndRule.REQUIRED, EndRule.PERFORMED, EndRule.CANCELED, EndRule.OPTIONAL

REQUIREMENTS: Final[Mapping[str, tuple[Rule, Rule, EndRule]]] = {
    "TransactionUID": (_E, _N, _o),
    "SOPClassUID": (_O, _N, _R),
    "SOPInstanceUID": (_O, _N, _R),
    # Unified Procedure Step Scheduled Procedure Information
    "ScheduledProcedureStepPriority": (_V, _S, _R),
    "ScheduledProcedureStepModificationDateTime": (_N, _N, _R),
    "ProcedureStepLabel": (_V, _S, _R),
    "WorklistLabel": (_2, _S, _R),
    "ScheduledProcessingParametersSequence": (_2, _O, _o),
    "ScheduledStationNameCodeSequence": (_2, _O, _o),
    "ScheduledStationClassCodeSequence": (_2, _O, _o),
    "ScheduledStationGeographicLocationCodeSequence": (_2, _O, _o),
    "ScheduledHumanPerformersSequence": (_O, _O, _o),
    "ScheduledProcedureStepStartDateTime": (_V, _S, _R),
    "ExpectedCompletionDateTime": (_O, _S, _o),
    "ScheduledWorkitemCodeSequence": (_2, _S, _o),
    "CommentsOnTheScheduledProcedureStep": (_2, _S, _o),
    "InputReadinessState": (_V, _S, _R),
    "InputInformationSequence": (_2, _O, _o),
    "StudyInstanceUID": (_O, _O, _o),
    # Unified Procedure Step Relationship
    "PatientName": (_2, _N, _o),
    "PatientID": (_2, _N, _o),
    "IssuerOfPatientID": (_2, _N, _o),
    "IssuerOfPatientIDQualifiersSequence": (_2, _N, _o),
    "OtherPatientIDsSequence": (_2, _O, _o),
    "PatientBirthDate": (_2, _N, _o),
    "PatientSex": (_2, _N, _o),
    "AdmissionID": (_2, _N, _o),
    "IssuerOfAdmissionIDSequence": (_2, _N, _o),
    "AdmittingDiagnosesDescription": (_2, _N, _o),
    "AdmittingDiagnosesCodeSequence": (_2, _N, _o),
    "ReferencedRequestSequence": (_2, _N, _o),
    "ReplacedProcedureStepSequence": (_O, _N, _o),
    # Unified Procedure Step Progress Information
    "ProcedureStepState": (_V, _N, _R),
    "ProcedureStepProgressInformationSequence": (_E, _O, _X),
    # Unified Procedure Step Performed Procedure Information
    "UnifiedProcedureStepPerformedProcedureSequence": (_E, _O, _P),
}
"""By attribute: when it is created (N-CREATE), when it is updated (N-SET), and before it may end. PS3.4 CC.2.5-3."""

_FINAL_ITEMS: Final[Mapping[str, Mapping[str, EndRule]]] = {
    "ProcedureStepProgressInformationSequence": {
        "ProcedureStepCancellationDateTime": _X,
        "ProcedureStepDiscontinuationReasonCodeSequence": _X,
    },
    "UnifiedProcedureStepPerformedProcedureSequence": {
        "PerformedStationNameCodeSequence": _P,
        "PerformedProcedureStepStartDateTime": _P,
        "PerformedWorkitemCodeSequence": _P,
        "PerformedProcedureStepEndDateTime": _P,
        "OutputInformationSequence": _P,
    },
}
"""What the items of two sequences need. PS3.4 CC.2.5-3."""


def key_of(keyword: str) -> str:
    """Tag of an attribute as JSON names it, such as ``00741000``."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        msg = f"{keyword} is no attribute"
        raise ValueError(msg)
    return f"{tag:08X}"


def element(keyword: str, *values: Any) -> Json:
    """Write one attribute as a member of a data set; without values it is empty."""
    vr = dictionary_VR(keyword)
    return {key_of(keyword): {"vr": vr, "Value": list(values)} if values else {"vr": vr}}


def data_set(**attributes: Any) -> Json:
    """Write attributes by keyword; a list holds several values, None stands for an empty one."""
    written: Json = {}
    for keyword, value in attributes.items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        written |= element(keyword, *values)
    return dict(sorted(written.items()))


def values_of(attributes: Mapping[str, Any], keyword: str) -> list[Any]:
    """Values of an attribute; none where it is missing or empty."""
    found = attributes.get(key_of(keyword), {}).get("Value", [])
    return [value for value in found if value not in (None, "", {})]


def first_of(attributes: Mapping[str, Any], keyword: str) -> Any:
    """First value of an attribute; an empty text where there is none."""
    return next(iter(values_of(attributes, keyword)), "")


def items_of(attributes: Mapping[str, Any], keyword: str) -> list[Json]:
    """Items of a sequence."""
    return [item for item in values_of(attributes, keyword) if isinstance(item, dict)]


def code_item(code: Code) -> Json:
    """Write a code as an item of a code sequence."""
    item: Json = code.to_item().to_json_dict()
    return item


def date_time(moment: datetime) -> str:
    """Write a time as DT (PS3.5 6.2), in UTC."""
    return f"{moment.astimezone(UTC):%Y%m%d%H%M%S}+0000"


def check_create(attributes: Mapping[str, Any], sop_instance_uid: str) -> Json:
    """Check what a requester wants created, and complete it.

    Returns
    -------
    Json
        With what must be there, if only empty, and what only the worklist says.

    Raises
    ------
    UsageError
        If it lacks what table CC.2.5-3 asks for, or has what must not be there.
    """
    completed = dict(attributes)
    for keyword, (rule, _, _) in REQUIREMENTS.items():
        _check(attributes, keyword, rule)
        if rule in (Rule.EMPTY_ALLOWED, Rule.EMPTY) and keyword != "TransactionUID":
            completed.setdefault(key_of(keyword), {"vr": dictionary_VR(keyword)})
    completed.pop(key_of("TransactionUID"), None)
    if first_of(attributes, "ProcedureStepState") != "SCHEDULED":
        msg = f"{name_attribute('ProcedureStepState')} must be SCHEDULED"
        raise UsageError(msg)
    for keyword, wanted in (("SOPClassUID", UPS_PUSH), ("SOPInstanceUID", sop_instance_uid)):
        if first_of(attributes, keyword) not in ("", wanted):
            msg = f"{name_attribute(keyword)} is not that of the request; leave it out"
            raise UsageError(msg)
        completed |= element(keyword, wanted)
    if not values_of(completed, "WorklistLabel"):
        completed |= element("WorklistLabel", "vst_dicom")
    return completed


def check_update(attributes: Mapping[str, Any]) -> None:
    """Check what somebody wants changed.

    Raises
    ------
    UsageError
        If it has what must not be there, or empties what must have a value.
    """
    for keyword, (_, rule, _) in REQUIREMENTS.items():
        _check(attributes, keyword, rule)


def check_final(attributes: Mapping[str, Any], *, completed: bool) -> None:
    """Check that a step may end (PS3.4 CC.2.5.1.1).

    Raises
    ------
    ConflictError
        Names what still needs a value.
    """
    needed = {EndRule.REQUIRED, EndRule.PERFORMED if completed else EndRule.CANCELED}
    missing = [
        keyword
        for keyword, (_, _, final) in REQUIREMENTS.items()
        if final in needed and not values_of(attributes, keyword)
    ]
    for sequence, parts in _FINAL_ITEMS.items():
        for item in items_of(attributes, sequence):
            missing += [name for name, final in parts.items() if final in needed and not values_of(item, name)]
    if missing:
        names = ", ".join(name_attribute(keyword) for keyword in dict.fromkeys(missing))
        msg = f"{INCONSISTENT_STATE} It needs {names} first"
        raise ConflictError(msg)


INCONSISTENT_STATE: Final = "The submitted request is inconsistent with the state of the UPS Instance."
"""The standard's words (PS3.18 11.7.3.2)."""


def _check(attributes: Mapping[str, Any], keyword: str, rule: Rule) -> None:
    is_there, has_value = key_of(keyword) in attributes, bool(values_of(attributes, keyword))
    wrong = ""
    if rule is Rule.VALUE and not has_value:
        wrong = "must have a value"
    elif rule is Rule.VALUE_IF_THERE and is_there and not has_value:
        wrong = "cannot be emptied"
    elif rule is Rule.EMPTY and has_value:
        wrong = "must be empty"
    elif rule is Rule.FORBIDDEN and is_there:
        wrong = "must not be there"
    elif keyword in _ALLOWED and has_value and values_of(attributes, keyword)[0] not in _ALLOWED[keyword]:
        wrong = f"must be one of {', '.join(_ALLOWED[keyword])}"
    if wrong:
        msg = f"{name_attribute(keyword)} {wrong} (PS3.4 table CC.2.5-3)"
        raise UsageError(msg)


def is_scheduled_information(keys: Iterable[str]) -> bool:
    """Whether a change concerns what was scheduled, so that its modification is dated (PS3.3 C.30.2)."""
    mine = {key_of(name) for name in REQUIREMENTS if name.startswith(("Scheduled", "Expected", "Input", "Worklist"))}
    mine |= {key_of("ProcedureStepLabel"), key_of("CommentsOnTheScheduledProcedureStep")}
    return not mine.isdisjoint(keys)
