"""The DICOM JSON model straight from encoded elements, as text.

A sparsely tiled level may describe 100,000 frames one by one: an object for each element would cost minutes and
gigabytes, text costs seconds. Values that are neither plain numbers nor plain codes are left to pydicom.
"""

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.tag import Tag

from vst_dicom.service.part10 import ARRAY_VR, BULK_VR, INLINE_BYTES, dictionary_vr
from vst_dicom.slide.elements import Bytes, Element, walk_elements, walk_items

_NUMBERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_WORDS: Final = frozenset({"CS", "UI"})


@dataclass(frozen=True, slots=True)
class ElementEncoder:
    """Encodes elements of one file.

    Parameters
    ----------
    view
        Bytes of the file.
    encodings
        Python's names of the Specific Character Set (0008,0005).
    """

    view: Bytes
    encodings: Sequence[str]

    def members(self, start: int, stop: int, url: str, *, implicit: bool) -> list[str]:
        """Encode the elements between two positions, or up to the end of the item, as members of a JSON object.

        Parameters
        ----------
        start, stop
            Bytes of the file.
        url
            Address of the bulk data in them.
        implicit
            Whether they have no value representation (PS3.5 7.1.3).
        """
        found, position = [], start
        for element in walk_elements(self.view, start, stop, implicit=implicit):
            vr = (
                dictionary_vr(element.tag)
                if implicit
                else bytes(self.view[position + 4 : position + 6]).decode("latin-1")
            )
            position = element.stop + (8 if element.undefined else 0)
            if element.tag & 0xFFFF == 0:  # group lengths have no place in JSON (PS3.18 F.2.2)
                continue
            key = f"{element.tag:08X}"
            try:
                found.append(f'"{key}":{self._encode(element, vr, f"{url}/{key}", implicit=implicit)}')
            except (ValueError, struct.error):  # a value that is not what it should be is left out
                continue
        return found

    def _encode(self, element: Element, vr: str, url: str, *, implicit: bool) -> str:
        if vr == "SQ" or element.undefined:
            implicit = implicit or vr == "UN"  # PS3.5 6.2.2, note 2
            items = [
                f"{{{','.join(self.members(start, stop, f'{url}/{number}', implicit=implicit))}}}"
                for number, (start, stop) in enumerate(walk_items(self.view, element, implicit=implicit), start=1)
            ]
            return f'{{"vr":"SQ","Value":[{",".join(items)}]}}' if items else '{"vr":"SQ"}'
        if vr in BULK_VR and (vr in ARRAY_VR or element.stop - element.start > INLINE_BYTES):
            return f'{{"vr":"{vr}","BulkDataURI":{json.dumps(url)}}}'
        value = bytes(self.view[element.start : element.stop])
        numbers = _parse(vr, value) if value else []
        if numbers is None:
            return self._leave_to_pydicom(element, vr, value, implicit=implicit)
        if not numbers:
            return f'{{"vr":"{vr}"}}'
        return f'{{"vr":"{vr}","Value":{json.dumps(numbers, separators=(",", ":"))}}}'

    def _leave_to_pydicom(self, element: Element, vr: str, value: bytes, *, implicit: bool) -> str:
        raw = RawDataElement(Tag(element.tag), vr, len(value), value, element.start, implicit, True)
        encoded: dict[str, Any] = convert_raw_data_element(raw, encoding=list(self.encodings)).to_json_dict(None, 0)
        return json.dumps(encoded, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def to_json_number(value: Any) -> Any:
    """Write a number that JSON does not have as text (PS3.18 F.2.3)."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def _parse(vr: str, value: bytes) -> list[Any] | None:
    """Read plain numbers and codes, which are most of what there is; None for anything else."""
    if vr in _NUMBERS:
        return [to_json_number(number) for (number,) in struct.iter_unpack(f"<{_NUMBERS[vr]}", value)]
    if vr not in _WORDS and vr != "DS":
        return None
    parts = value.decode("ascii").strip("\0 ").split("\\")
    if not any(parts):
        return []
    return [float(part) for part in parts] if vr == "DS" else [part.strip() for part in parts]
