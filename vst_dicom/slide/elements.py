"""Walk encoded data elements without building an object for each (PS3.5 7.1 and 7.5).

A sparsely tiled level may describe 100,000 frames one by one; an object for each costs minutes, a walk one or two
seconds. Every length is held against its parent, and nesting is limited.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from vst_dicom.domain.errors import DamagedInstanceError

ITEM: Final = 0xFFFEE000
ITEM_DELIMITATION: Final = 0xFFFEE00D
SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD
UNDEFINED_LENGTH: Final = 0xFFFFFFFF

PER_FRAME_FUNCTIONAL_GROUPS: Final = 0x52009230
EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
PIXEL_DATA: Final = 0x7FE00010

_SHORT_LENGTH_VR: Final = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
"""These have two bytes of length right after the VR, all others four bytes, two bytes later (PS3.5 table 7.1-2)."""

_MAX_DEPTH: Final = 32

Bytes = bytes | memoryview


class Element(NamedTuple):
    """Where the value of a data element lies.

    Parameters
    ----------
    tag
        Group and element as one number.
    start, stop
        Bytes of the value, without the delimiter of an undefined length.
    undefined
        Whether the length was undefined.
    """

    tag: int
    start: int
    stop: int
    undefined: bool


def walk_elements(view: Bytes, start: int, stop: int, *, implicit: bool, depth: int = 0) -> Iterator[Element]:
    """Walk data elements between two positions, or up to the end of the item.

    Encapsulated Pixel Data comes last and reaches to `stop`: its fragments are no data elements.

    Raises
    ------
    DamagedInstanceError
        If an element reaches beyond `stop`, or sequences are nested too deeply.
    """
    if depth > _MAX_DEPTH:
        msg = f"sequences are nested more than {_MAX_DEPTH} deep"
        raise DamagedInstanceError(msg)
    position = start
    while position < stop:
        tag, length, value = _read_head(view, position, stop, implicit=implicit)
        if tag == ITEM_DELIMITATION:
            return
        if length != UNDEFINED_LENGTH:
            position = _inside(value + length, stop, tag)
            yield Element(tag, value, position, undefined=False)
        elif tag == PIXEL_DATA:
            yield Element(tag, value, stop, undefined=True)
            return
        else:
            value_stop = _end_of_items(view, value, stop, implicit=implicit, depth=depth)
            yield Element(tag, value, value_stop, undefined=True)
            position = value_stop + 8


def walk_items(view: Bytes, sequence: Element, *, implicit: bool, depth: int = 0) -> Iterator[tuple[int, int]]:
    """Find the first and last position of the content of each item of a sequence."""
    position = sequence.start
    while position < sequence.stop:
        tag, length, value = _read_head(view, position, sequence.stop, implicit=implicit)
        if tag != ITEM:
            return
        if length == UNDEFINED_LENGTH:
            item_stop = _end_of_item(view, value, sequence.stop, implicit=implicit, depth=depth)
            position = item_stop + 8
        else:
            item_stop = position = _inside(value + length, sequence.stop, tag)
        yield value, item_stop


def _read_head(view: Bytes, position: int, stop: int, *, implicit: bool) -> tuple[int, int, int]:
    """Tag, length and position of the value."""
    _inside(position + 8, stop, 0)
    group, number = struct.unpack_from("<HH", view, position)
    tag = group << 16 | number
    if implicit or group == 0xFFFE:
        (length,) = struct.unpack_from("<I", view, position + 4)
        return tag, length, position + 8
    if bytes(view[position + 4 : position + 6]) in _SHORT_LENGTH_VR:
        (length,) = struct.unpack_from("<H", view, position + 6)
        return tag, length, position + 8
    _inside(position + 12, stop, tag)
    (length,) = struct.unpack_from("<I", view, position + 8)
    return tag, length, position + 12


def _end_of_items(view: Bytes, start: int, stop: int, *, implicit: bool, depth: int) -> int:
    """Position of the delimiter of a sequence of undefined length."""
    position = start
    while True:
        tag, length, value = _read_head(view, position, stop, implicit=implicit)
        if tag == SEQUENCE_DELIMITATION:
            return position
        if tag != ITEM:
            msg = f"a sequence holds ({tag >> 16:04X},{tag & 0xFFFF:04X}) where an item should begin"
            raise DamagedInstanceError(msg)
        if length == UNDEFINED_LENGTH:
            position = _end_of_item(view, value, stop, implicit=implicit, depth=depth) + 8
        else:
            position = _inside(value + length, stop, tag)


def _end_of_item(view: Bytes, start: int, stop: int, *, implicit: bool, depth: int) -> int:
    """Position of the delimiter of an item of undefined length."""
    end = start
    for element in walk_elements(view, start, stop, implicit=implicit, depth=depth + 1):
        end = element.stop + (8 if element.undefined else 0)
    tag, _, _ = _read_head(view, end, stop, implicit=implicit)
    if tag != ITEM_DELIMITATION:
        raise DamagedInstanceError("an item of undefined length does not end")
    return end


def _inside(position: int, stop: int, tag: int) -> int:
    if position > stop:
        msg = (
            f"({tag >> 16:04X},{tag & 0xFFFF:04X}) reaches {position - stop} bytes beyond the end; "
            "the file is cut off or damaged: copy or export it again"
        )
        raise DamagedInstanceError(msg)
    return position
