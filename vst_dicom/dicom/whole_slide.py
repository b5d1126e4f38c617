"""What makes an instance part of a slide (PS3.3 A.32.8, C.8.12.4), for files at hand and for files received."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, TypeVar

from pydicom.dataset import Dataset

from vst_dicom.dicom.attributes import read_items, read_text, read_texts
from vst_dicom.dicom.codes import PROCESSING_EQUIPMENT
from vst_dicom.domain.wording import PRODUCT

VL_WHOLE_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""VL Whole Slide Microscopy Image Storage (PS3.4 table B.5-1)."""

_Item = TypeVar("_Item")


def is_volume(header: Dataset) -> bool:
    """Whether an image shows tissue at one resolution.

    Label, overview and thumbnail images may show the patient's name, as may any image that says that the label is in
    it; they are never decoded. The third value of Image Type (0008,0008) tells (PS3.3 C.8.12.4.1.1).
    """
    values = read_texts(header, "ImageType")
    shows_label = [value.upper() for value in read_texts(header, "SpecimenLabelInImage")] == ["YES"]
    return len(values) > 2 and values[2].upper() == "VOLUME" and not shows_label


def is_resampled(header: Dataset) -> bool:
    """Whether an image was made from a larger one, by the fourth value of Image Type (PS3.3 C.8.12.4.1.1)."""
    values = read_texts(header, "ImageType")
    return len(values) > 3 and values[3].upper() == "RESAMPLED"


def shows_predictions(header: Dataset) -> bool:
    """Whether this product made an image of predictions, whichever of its models it was.

    Such an image may be a whole slide image like the slide itself. Contributing Equipment Sequence (0018,A001) says it:
    this product as what processed the image. Slides that it only converted or simulated do not say so.
    """
    return any(
        read_text(item, "Manufacturer") == PRODUCT
        and any(
            read_text(code, "CodeValue") == PROCESSING_EQUIPMENT.value
            for code in read_items(item, "PurposeOfReferenceCodeSequence")
        )
        for item in read_items(header, "ContributingEquipmentSequence")
    )


def split_by_stated(items: Sequence[_Item], values: Sequence[str]) -> dict[str, list[_Item]]:
    """Split items by a value that each may state; those that state none go along if all others agree.

    Parameters
    ----------
    items
        What to split.
    values
        One for each item; empty where it states none.

    Returns
    -------
    dict[str, list]
        Items in their order by value; under the empty value those that no other can be joined to.
    """
    stated = {value for value in values if value}
    common = next(iter(stated)) if len(stated) == 1 else ""
    parts: dict[str, list[_Item]] = defaultdict(list)
    for item, value in zip(items, values, strict=True):
        parts[value or common].append(item)
    return dict(parts)
