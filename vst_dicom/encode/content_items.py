"""Content items of a structured report (PS3.3 C.17.3, C.18)."""

from collections.abc import Iterable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from vst_dicom.dicom.codes import Code


class Relationship(StrEnum):
    """How an item relates to the item that holds it (PS3.3 table C.17.3-8)."""

    CONTAINS = "CONTAINS"
    CONTEXT = "HAS OBS CONTEXT"
    MODIFIER = "HAS CONCEPT MOD"
    INFERRED_FROM = "INFERRED FROM"


def container(name: Code, children: Iterable[Dataset], template: str = "") -> Dataset:
    """Hold items together; a template is named by its number in PS3.16."""
    item = _item("CONTAINER", name, Relationship.CONTAINS)
    item.ContinuityOfContent = "SEPARATE"
    if template:
        item.ContentTemplateSequence = [template_item(template)]
    item.ContentSequence = list(children)
    return item


def template_item(number: str) -> Dataset:
    """Name a template of PS3.16 (PS3.3 C.18.8)."""
    item = Dataset()
    item.MappingResource = "DCMR"
    item.TemplateIdentifier = number
    return item


def code(name: Code, value: Code, relationship: Relationship = Relationship.CONTAINS) -> Dataset:
    """State a coded value."""
    item = _item("CODE", name, relationship)
    item.ConceptCodeSequence = [value.to_item()]
    return item


def text(name: Code, value: str, relationship: Relationship = Relationship.CONTAINS) -> Dataset:
    """State a text, which the character set of the object must be able to spell."""
    item = _item("TEXT", name, relationship)
    item.TextValue = value
    return item


def uid(name: Code, value: str, relationship: Relationship) -> Dataset:
    """State a unique identifier."""
    item = _item("UIDREF", name, relationship)
    item.UID = value
    return item


def number(name: Code, value: float, unit: Code, children: Iterable[Dataset] = ()) -> Dataset:
    """State a number: exactly as a floating point value, and as close to it as a decimal string of 16 characters."""
    measured = Dataset()
    measured.MeasurementUnitsCodeSequence = [unit.to_item()]
    if isinstance(value, int):
        measured.NumericValue = value
    else:
        measured.FloatingPointValue = float(value)
        measured.NumericValue = DSfloat(float(value), auto_format=True)
    item = _item("NUM", name, Relationship.CONTAINS)
    item.MeasuredValueSequence = [measured]
    if listed := list(children):
        item.ContentSequence = listed
    return item


def image(name: Code, reference: Dataset) -> Dataset:
    """Say from what image the item that holds this one was inferred (PS3.16 TID 320).

    Parameters
    ----------
    name
        Purpose of the reference.
    reference
        Item of Referenced SOP Sequence.
    """
    item = _item("IMAGE", name, Relationship.INFERRED_FROM)
    item.ReferencedSOPSequence = [reference]
    return item


def polygon(name: Code, points_mm: NDArray[np.float64], frame_of_reference_uid: str) -> Dataset:
    """Outline a region in space (PS3.3 C.18.9); points x, y, z of shape ``(n_points, 3)``, the first not repeated."""
    item = _item("SCOORD3D", name, Relationship.CONTAINS)
    item.ReferencedFrameOfReferenceUID = frame_of_reference_uid
    item.GraphicType = "POLYGON"
    closed = np.concatenate([points_mm, points_mm[:1]])
    item.GraphicData = closed.astype(np.float32).ravel().tolist()
    return item


def _item(value_type: str, name: Code, relationship: Relationship) -> Dataset:
    item = Dataset()
    item.RelationshipType = relationship.value
    item.ValueType = value_type
    item.ConceptNameCodeSequence = [name.to_item()]
    return item
