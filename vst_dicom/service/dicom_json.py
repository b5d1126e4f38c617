"""The DICOM JSON model (PS3.18 F.2): values of bytes become addresses, so that metadata stay small."""

import json
from collections.abc import Iterable
from itertools import count
from typing import Any, Final

from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from vst_dicom.dicom.attributes import read_texts
from vst_dicom.service.element_json import ElementEncoder, to_json_number
from vst_dicom.service.frames import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA
from vst_dicom.service.part10 import ARRAY_VR, BULK_VR, INLINE_BYTES, Part10File, dictionary_vr
from vst_dicom.slide.elements import PIXEL_DATA

Json = dict[str, Any]

_SPECIFIC_CHARACTER_SET: Final = "00080005"
_UTF_8: Final = "ISO_IR 192"
_REALS: Final = frozenset({"DS", "FD", "FL"})

_FLOAT_VRS: Final = {FLOAT_PIXEL_DATA: "OF", DOUBLE_FLOAT_PIXEL_DATA: "OD"}


def encode_metadata(file: Part10File, bulk_data_url: str) -> str:
    """Encode everything but the bulk data of a file as a JSON object (PS3.18 10.4.1.1.2).

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
    header = file.read_header()
    encoded = encode_dataset(header, bulk_data_url)
    encodings = convert_encodings(list(read_texts(header, "SpecificCharacterSet")) or None)
    behind = file.behind_header()
    with file.mapped() as view:
        encoder = ElementEncoder(view, encodings)
        members = encoder.members(behind.start, behind.stop, bulk_data_url, implicit=file.implicit)
    members = [f"{json.dumps(key)}:{write_json(value)}" for key, value in encoded.items()] + members
    for tag in (FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA):
        if tag in file.elements:
            is_bytes = file.elements[tag].undefined or encoded.get("00280100", {}).get("Value") == [8]
            vr = _FLOAT_VRS.get(tag, "OB" if is_bytes else "OW")
            members.append(write_json({f"{tag:08X}": {"vr": vr, "BulkDataURI": f"{bulk_data_url}/{tag:08X}"}})[1:-1])
    return f"{{{','.join(members)}}}"


def write_json(value: Any) -> str:
    """Write JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode_dataset(dataset: Dataset, bulk_data_url: str | None) -> Json:
    """Encode a data set or an item; an element that cannot be converted is left out.

    Parameters
    ----------
    dataset
        As read; values that were left on disk become addresses.
    bulk_data_url
        Address of the bulk data in it; they are left out if None.
    """
    encoded: Json = {}
    for tag in sorted(dataset.keys()):
        if tag.element == 0:  # group lengths have no place in JSON (PS3.18 F.2.2)
            continue
        key = f"{tag:08X}"
        try:
            element = _encode_element(dataset, tag, None if bulk_data_url is None else f"{bulk_data_url}/{key}")
        except Exception:  # noqa: S112 - what pydicom cannot convert can be anything, and its message quotes values
            continue
        if element is not None:
            encoded[key] = element
    if _SPECIFIC_CHARACTER_SET in encoded:
        encoded[_SPECIFIC_CHARACTER_SET] = {"vr": "CS", "Value": [_UTF_8]}
    return encoded


def _encode_element(dataset: Dataset, tag: BaseTag, url: str | None) -> Json | None:
    """Encode an element; None for bulk data without an address."""
    raw: Any = dataset.get_item(tag)
    if isinstance(raw, RawDataElement) and raw.value is None and raw.length:  # left on disk
        return _address(raw.VR or dictionary_vr(tag), url)
    element = dataset[tag]
    if element.VR == "SQ":
        urls = (None if url is None else f"{url}/{number}" for number in count(1))
        items = [encode_dataset(item, item_url) for item, item_url in zip(element.value, urls, strict=False)]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if element.VR in BULK_VR and element.value and _is_large(element):
        return _address(element.VR, url)
    encoded: Json = element.to_json_dict(None, 0)
    if element.VR in _REALS and "Value" in encoded:
        encoded["Value"] = [to_json_number(value) for value in encoded["Value"]]
    return encoded


def _address(vr: str, url: str | None) -> Json | None:
    return None if url is None else {"vr": vr, "BulkDataURI": url}


def _is_large(element: DataElement) -> bool:
    return element.VR in ARRAY_VR or len(element.value) > INLINE_BYTES


def select_attributes(header: Dataset, tags: Iterable[int]) -> Json:
    """Encode some attributes of a header, those that it has and that are no bulk data."""
    wanted = Dataset()
    for tag in tags:
        if tag in header:
            wanted[tag] = header.get_item(tag)
    return encode_dataset(wanted, None)
