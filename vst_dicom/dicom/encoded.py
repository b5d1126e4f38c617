"""Sequences in Explicit VR Little Endian (PS3.5 7.1.2, 7.5), made straight from values.

An image of many frames says nearly the same about each of them. Writing that element by element is the slowest thing
that pydicom does; hence its sequence is encoded here, and pydicom copies it into the file as it is.
"""

import struct
from functools import lru_cache
from typing import Final

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from vst_dicom.dicom.codes import MAX_CODE_VALUE, MAX_LONG_STRING, Code

_TAG: Final = struct.Struct("<HH")
_ITEM_TAG: Final = _TAG.pack(0xFFFE, 0xE000)

_NUMBERS: Final = {"US": "H", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}
"""How `struct` names the numbers of a value representation."""

_DEFAULT_CHARACTER_SET: Final = "iso8859"
"""What pydicom calls the default character repertoire."""


def encode_text(keyword: str, text: str) -> bytes:
    """Encode an element of ASCII text, which every character set can say."""
    value = text.encode("ascii", "replace")
    return _encode(keyword, value + b" " * (len(value) % 2))


def encode_numbers(keyword: str, *values: float) -> bytes:
    """Encode an element of numbers; where the standard leaves open whether they have a sign, they have none."""
    return _encode(keyword, struct.pack(f"<{len(values)}{_NUMBERS[_known(keyword)[1]]}", *values))


def encode_sequence(keyword: str, *items: bytes) -> bytes:
    """Encode a sequence of encoded items."""
    return _encode(keyword, b"".join(items))


def encode_item(*elements: bytes) -> bytes:
    """Encode an item of encoded elements, in the order of their tags."""
    value = b"".join(sorted(elements, key=_TAG.unpack_from))
    return _ITEM_TAG + struct.pack("<L", len(value)) + value


@lru_cache(maxsize=4096)
def encode_code(code: Code) -> bytes:
    """Encode a code as an item; see `vst_dicom.dicom.codes.Code.to_item`."""
    value = "CodeValue" if len(code.value) <= MAX_CODE_VALUE else "LongCodeValue"
    return encode_item(
        encode_text(value, code.value),
        encode_text("CodingSchemeDesignator", code.scheme),
        encode_text("CodeMeaning", code.meaning[:MAX_LONG_STRING]),
    )


def encode_content_item(name: Code, value: Code) -> bytes:
    """Encode a name and its coded value; see `vst_dicom.dicom.codes.content_item`."""
    return encode_item(
        encode_text("ValueType", "CODE"),
        encode_sequence("ConceptNameCodeSequence", encode_code(name)),
        encode_sequence("ConceptCodeSequence", encode_code(value)),
    )


def add_encoded_sequence(dataset: Dataset, keyword: str, *items: bytes) -> None:
    """Add a sequence of encoded items to a whole data set, which can then be written in Explicit VR Little Endian only.

    Read from the data set, it is a sequence like any other. The data set must have its character set by now.
    """
    tag, value = Tag(tag_for_keyword(keyword) or 0), b"".join(items)
    dataset[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)
    character_set = dataset.get("SpecificCharacterSet")
    dataset.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=convert_encodings(character_set) if character_set else _DEFAULT_CHARACTER_SET,
    )


@lru_cache(maxsize=256)
def _known(keyword: str) -> tuple[bytes, str]:
    """Look up encoded tag and value representation of a keyword."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    return _TAG.pack(tag.group, tag.element), dictionary_VR(tag).replace("US or SS", "US")


def _encode(keyword: str, value: bytes) -> bytes:
    tag, vr = _known(keyword)
    length = struct.pack("<HL", 0, len(value)) if vr in EXPLICIT_VR_LENGTH_32 else struct.pack("<H", len(value))
    return tag + vr.encode("ascii") + length + value
