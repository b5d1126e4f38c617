"""What must never be processed: results that come back, and whatever is no slide.

A PACS may route everything that it stores, this product's results included. A result that is taken for a slide would
make the next result, for ever; one of them, a gene painted over the slide, is a whole slide image itself.
"""

from collections.abc import Set
from typing import Final

from pydicom.uid import UID

from vst_dicom.dicom.whole_slide import VL_WHOLE_SLIDE
from vst_dicom.study.facts import InstanceFacts

_RESULT_CLASSES: Final = {
    "1.2.840.10008.5.1.4.1.1.30": "Parametric Map",
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation",
    "1.2.840.10008.5.1.4.1.1.91.1": "Microscopy Bulk Simple Annotations",
    "1.2.840.10008.5.1.4.1.1.88.11": "Basic Text SR",
    "1.2.840.10008.5.1.4.1.1.88.22": "Enhanced SR",
    "1.2.840.10008.5.1.4.1.1.88.33": "Comprehensive SR",
    "1.2.840.10008.5.1.4.1.1.88.34": "Comprehensive 3D SR",
}
"""Kinds of objects that hold results, of this product and of others (PS3.4 table B.5-1)."""


def is_whole_slide(sop_class_uid: str) -> bool:
    """Whether instances of a SOP class can be part of a slide at all."""
    return sop_class_uid == VL_WHOLE_SLIDE


def recognise_own(facts: InstanceFacts, own_device_uids: Set[str], *, in_ledger: bool) -> str:
    """Say by what an instance shows itself as a result of this product; empty if it does not.

    Parameters
    ----------
    facts
        What its header says.
    own_device_uids
        Device UIDs of the models that this product runs.
    in_ledger
        Whether its SOP Instance UID or Series Instance UID is that of a stored result.
    """
    if in_ledger:
        return "its UID is that of a stored result"
    if not own_device_uids.isdisjoint(facts.device_uids):
        return "its equipment names a model of this product, Device UID (0018,1002)"
    if facts.shows_predictions:
        return "its equipment says that this product processed it, Contributing Equipment Sequence (0018,A001)"
    return ""


def describe_other(sop_class_uid: str) -> str:
    """Say why an instance that is no whole slide image is not processed."""
    kind = _RESULT_CLASSES.get(sop_class_uid)
    if kind is not None:
        return f"{kind} objects hold results and are never processed"
    return f"{UID(sop_class_uid).name} is no whole slide image"
