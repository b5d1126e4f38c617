"""What a work item orders of this product: which slide, which model, which genes, how soon."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vst_dicom.dicom.codes import BUNDLE_TO_USE, GENES_TO_PREDICT, OWN_SCHEME, PREDICT_EXPRESSION
from vst_dicom.dicom.procedure_step import first_of, items_of, values_of
from vst_dicom.domain.errors import UsageError
from vst_dicom.study.rules import Priority

_BUNDLE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Ids of bundles; never a path."""

_GENE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_MOST_GENES: Final = 20_000
_PRIORITIES: Final = {"HIGH": Priority.STAT, "MEDIUM": Priority.HIGH, "LOW": Priority.ROUTINE}
"""Scheduled Procedure Step Priority (0074,1200): HIGH is urgent, LOW is routine (PS3.3 C.30.2)."""


@dataclass(frozen=True, slots=True)
class OrderedWork:
    """What a work item orders.

    Parameters
    ----------
    study_instance_uid
        Of the slide.
    series_instance_uids
        Of which one is the slide's; none if the work item names only the study.
    sop_instance_uids
        Instances of the slide that it names, if any.
    bundle, genes
        What to predict with, and which genes; None for what rules or defaults say.
    priority
        How soon.
    """

    study_instance_uid: str
    series_instance_uids: tuple[str, ...]
    sop_instance_uids: tuple[str, ...]
    bundle: str | None
    genes: tuple[str, ...] | None
    priority: Priority


def asks_for_prediction(attributes: Mapping[str, Any]) -> bool:
    """Whether a work item's code is ours: what others do, others perform."""
    return any(_own_code(item) is not None for item in items_of(attributes, "ScheduledWorkitemCodeSequence"))


def is_ready(attributes: Mapping[str, Any]) -> bool:
    """Whether its requester says that all input is there."""
    return bool(first_of(attributes, "InputReadinessState") == "READY")


def read_order(attributes: Mapping[str, Any]) -> OrderedWork:
    """Read what a work item orders.

    Raises
    ------
    UsageError
        If it names no slide, or its parameters are not understood; values are not repeated.
    """
    studies: dict[str, None] = {}
    series: dict[str, None] = {}
    instances: dict[str, None] = {}
    for item in items_of(attributes, "InputInformationSequence"):
        studies |= dict.fromkeys(map(str, values_of(item, "StudyInstanceUID")))
        series |= dict.fromkeys(map(str, values_of(item, "SeriesInstanceUID")))
        for reference in items_of(item, "ReferencedSOPSequence"):
            instances |= dict.fromkeys(map(str, values_of(reference, "ReferencedSOPInstanceUID")))
    if len(studies) != 1:
        raise UsageError("Input Information Sequence (0040,4021) must name one study, and in it one slide")
    bundle = _bundle(attributes)
    genes = _parameters(attributes, GENES_TO_PREDICT.value)
    symbols = tuple(symbol for text in genes for symbol in re.split(r"[\s,;\\]+", text) if symbol)
    if (bundle is not None and not _BUNDLE.fullmatch(bundle)) or len(symbols) > _MOST_GENES:
        raise UsageError("the work item names no model bundle that could be")
    if not all(map(_GENE.fullmatch, symbols)):
        raise UsageError("the work item names something that is no gene")
    priority = _PRIORITIES.get(str(first_of(attributes, "ScheduledProcedureStepPriority")), Priority.ROUTINE)
    return OrderedWork(next(iter(studies)), tuple(series), tuple(instances), bundle, symbols or None, priority)


def _own_code(item: Mapping[str, Any]) -> str | None:
    """Read what stands behind our code: the id of a bundle, or nothing; None if the code is not ours."""
    if first_of(item, "CodingSchemeDesignator") != OWN_SCHEME:
        return None
    value = str(first_of(item, "CodeValue") or first_of(item, "LongCodeValue"))
    code, _, bundle = value.partition(".")
    return bundle if code == PREDICT_EXPRESSION.value else None


def _bundle(attributes: Mapping[str, Any]) -> str | None:
    stated = _parameters(attributes, BUNDLE_TO_USE.value)
    stated += [code for item in items_of(attributes, "ScheduledWorkitemCodeSequence") if (code := _own_code(item))]
    if len(set(stated)) > 1:
        raise UsageError("the work item names several model bundles; name one")
    return stated[0] if stated else None


def _parameters(attributes: Mapping[str, Any], code: str) -> list[str]:
    """Texts of one of our processing parameters (PS3.3 10.2, content items)."""
    found = []
    for item in items_of(attributes, "ScheduledProcessingParametersSequence"):
        for name in items_of(item, "ConceptNameCodeSequence"):
            if (first_of(name, "CodeValue"), first_of(name, "CodingSchemeDesignator")) == (code, OWN_SCHEME):
                found += [str(value).strip() for value in values_of(item, "TextValue")]
    return found
