"""The DICOM JSON model (PS3.18 F.2): values of bytes become addresses, so that metadata stay small."""

from collections.abc import Iterable
from typing import Any, Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from vst_dicom.service.frames import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA
from vst_dicom.service.part10 import BULK_VR, Part10File
from vst_dicom.slide.elements import PIXEL_DATA

Json = dict[str, Any]

_INLINE_BYTES: Final = 256
"""Larger values of bytes are fetched by their address."""

_ARRAYS: Final = frozenset({"OD", "OF", "OL", "OV"})
"""Arrays of numbers, such as the coordinates of annotations: never inline, because viewers only fetch them."""

_SPECIFIC_CHARACTER_SET: Final = "00080005"
_UTF_8: Final = "ISO_IR 192"

_PIXEL_VRS: Final = {FLOAT_PIXEL_DATA: "OF", DOUBLE_FLOAT_PIXEL_DATA: "OD"}


def encode_metadata(file: Part10File, bulk_data_url: str) -> Json:
    """Encode everything but the bulk data of a file (PS3.18 10.4.1.1.2).

    Parameters
    ----------
    file
        The instance.
    bulk_data_url
        Address under which its bulk data are served.

    Raises
    ------
    MissingInputError, DamagedInstanceError
        As `Part10File.read_header` does.
    """
    encoded = encode_dataset(file.read_header(), bulk_data_url)
    for tag in (PIXEL_DATA, *_PIXEL_VRS):
        if tag in file.elements:
            is_bytes = file.elements[tag].undefined or encoded.get("00280100", {}).get("Value") == [8]
            vr = _PIXEL_VRS.get(tag, "OB" if is_bytes else "OW")
            encoded[f"{tag:08X}"] = {"vr": vr, "BulkDataURI": f"{bulk_data_url}/{tag:08X}"}
    return encoded


def encode_dataset(dataset: Dataset, bulk_data_url: str) -> Json:
    """Encode a data set or an item; an element that cannot be converted is left out.

    Parameters
    ----------
    dataset
        As read; values that were left on disk become addresses.
    bulk_data_url
        Address of the bulk data in it.
    """
    encoded: Json = {}
    for tag in sorted(dataset.keys()):
        if tag.element == 0:  # group lengths have no place in JSON (PS3.18 F.2.2)
            continue
        key = f"{tag:08X}"
        try:
            encoded[key] = _encode_element(dataset, tag, f"{bulk_data_url}/{key}")
        except Exception:  # noqa: S112 - what pydicom cannot convert can be anything, and its message quotes values
            continue
    if _SPECIFIC_CHARACTER_SET in encoded:
        encoded[_SPECIFIC_CHARACTER_SET] = {"vr": "CS", "Value": [_UTF_8]}
    return encoded


def _encode_element(dataset: Dataset, tag: BaseTag, url: str) -> Json:
    raw: Any = dataset.get_item(tag)
    if isinstance(raw, RawDataElement) and raw.value is None and raw.length:  # left on disk
        vr = raw.VR or (dictionary_VR(tag).partition(" ")[0] if dictionary_has_tag(tag) else "UN")
        return {"vr": vr, "BulkDataURI": url}
    element = dataset[tag]
    if element.VR == "SQ":
        items = [encode_dataset(item, f"{url}/{number}") for number, item in enumerate(element.value, start=1)]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if element.VR in BULK_VR and element.value and _is_large(element):
        return {"vr": element.VR, "BulkDataURI": url}
    encoded: Json = element.to_json_dict(None, 0)
    return encoded


def _is_large(element: DataElement) -> bool:
    return element.VR in _ARRAYS or len(element.value) > _INLINE_BYTES


def select_attributes(header: Dataset, tags: Iterable[int]) -> Json:
    """Encode some attributes of a header, those that it has."""
    wanted = Dataset()
    for tag in tags:
        if tag in header:
            wanted[tag] = header.get_item(tag)
    return {key: value for key, value in encode_dataset(wanted, "").items() if "BulkDataURI" not in value}
