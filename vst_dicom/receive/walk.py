"""Strict check of a data set's structure before it is acknowledged (PS3.5 7.1, 7.5 and A.4).

Every length must lie inside its parent, tags must rise, nesting and number of elements are limited. No value is read
but the four UIDs. Nothing is mapped or recursed into, so neither the memory nor the stack grows with the instance.
"""

import os
import re
import struct
from dataclasses import dataclass
from functools import cache
from typing import Final

from vst_dicom.domain.errors import DamagedInstanceError

MAX_DEPTH: Final = 32
MAX_ELEMENTS: Final = 2_000_000
"""Elements, items and fragments together."""

IMPLICIT_VR: Final = "1.2.840.10008.1.2"
EXPLICIT_VR: Final = "1.2.840.10008.1.2.1"
NATIVE: Final = frozenset({IMPLICIT_VR, EXPLICIT_VR})
"""Transfer syntaxes whose Pixel Data has a length (PS3.5 A.1, A.2); in all others it is encapsulated (A.4)."""

_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_UNDEFINED: Final = 0xFFFFFFFF
_PIXEL_DATA: Final = 0x7FE00010

_SHORT_VR: Final = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VR: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())

_UIDS: Final = {
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
}
_LAST_UID: Final = max(_UIDS)
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_WINDOW: Final = 16_384
_FIRST_TAG: Final = 0x00080000
"""Command elements (group 0000) and file meta information (group 0002) are not part of a data set."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs of a data set."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


@dataclass(slots=True)
class _Level:
    """A data set or item (`of_items` false), or a sequence (`of_items` true), that is being walked."""

    stop: int
    delimited: bool
    """It has no length and ends with a delimiter before `stop`."""

    implicit: bool
    of_items: bool = False
    last_tag: int = _FIRST_TAG - 1


def is_valid_uid(text: str) -> bool:
    """Whether a text is a UID: at most 64 characters, numbers without leading zeros (PS3.5 9.1)."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def check_data_set(descriptor: int, start: int, stop: int, transfer_syntax_uid: str) -> Identity:
    """Walk a whole data set in a file.

    Parameters
    ----------
    descriptor
        The open file.
    start, stop
        Where the data set begins and ends, in bytes.
    transfer_syntax_uid
        One of the negotiated ones; all are little endian.

    Raises
    ------
    DamagedInstanceError
        If the structure is not sound, or a UID is missing or impossible.
    """
    return _Walk(descriptor, stop, native=transfer_syntax_uid in NATIVE).run(start, transfer_syntax_uid == IMPLICIT_VR)


class _Walk:
    def __init__(self, descriptor: int, stop: int, *, native: bool) -> None:
        self.descriptor = descriptor
        self.stop = stop
        self.native = native
        self.window = b""
        self.window_start = 0
        self.n_elements = 0
        self.uids: dict[int, str] = {}

    def run(self, start: int, implicit: bool) -> Identity:
        if start >= self.stop:
            raise DamagedInstanceError("the data set is empty")
        levels = [_Level(self.stop, delimited=False, implicit=implicit)]
        position = start
        while levels:
            level = levels[-1]
            if position == level.stop:
                if level.delimited:
                    raise _fault(position, "a sequence or item without length does not end")
                levels.pop()
            elif level.of_items:
                position = self._item(position, level, levels)
            else:
                position = self._element(position, level, levels)
        found = {keyword: self._uid(tag, keyword) for tag, keyword in _UIDS.items()}
        return Identity(
            sop_class_uid=found["SOPClassUID"],
            sop_instance_uid=found["SOPInstanceUID"],
            study_instance_uid=found["StudyInstanceUID"],
            series_instance_uid=found["SeriesInstanceUID"],
        )

    def _item(self, position: int, level: _Level, levels: list[_Level]) -> int:
        tag, length, value = self._head(position, level.stop, implicit=True)
        if tag == _SEQUENCE_END and level.delimited and length == 0:
            levels.pop()
            return value
        if tag != _ITEM:
            raise _fault(position, "a sequence holds something that is no item")
        if length == _UNDEFINED:
            levels.append(_Level(level.stop, delimited=True, implicit=level.implicit))
        else:
            levels.append(_Level(_inside(value, length, level.stop), delimited=False, implicit=level.implicit))
        levels[-1].last_tag = 0
        return value

    def _element(self, position: int, level: _Level, levels: list[_Level]) -> int:
        tag, length, value = self._head(position, level.stop, implicit=level.implicit)
        if tag == _ITEM_END and level.delimited and length == 0:
            levels.pop()
            return value
        if tag <= level.last_tag or tag >> 16 == 0xFFFE:
            raise _fault(position, f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is out of order")
        level.last_tag = tag
        vr = b"" if level.implicit else self._vr(position)
        at_top = len(levels) == 1
        if tag == _PIXEL_DATA and at_top and (length == _UNDEFINED) == self.native:
            raise _fault(position, "Pixel Data is not encoded as the transfer syntax says")
        if length == _UNDEFINED and tag == _PIXEL_DATA and vr in {b"OB", b"OW"}:
            return self._end_of_fragments(value, level.stop)
        if length == _UNDEFINED and vr not in {b"SQ", b"UN", b""}:
            raise _fault(position, f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has no length")
        if length == _UNDEFINED or vr == b"SQ" or (vr == b"" and tag in _sequences()):
            if len(levels) > 2 * MAX_DEPTH:
                raise _fault(position, f"sequences are nested more than {MAX_DEPTH} deep")
            delimited = length == _UNDEFINED
            stop = level.stop if delimited else _inside(value, length, level.stop)
            # the items of an unknown element without length are implicit VR (PS3.5 6.2.2, note 2)
            implicit = level.implicit or vr == b"UN"
            levels.append(_Level(stop, delimited=delimited, implicit=implicit, of_items=True))
            return value
        end = _inside(value, length, level.stop)
        if at_top and tag <= _LAST_UID and tag in _UIDS:
            if length > 66:
                raise _fault(position, f"{_UIDS[tag]} is not a UID")
            self.uids[tag] = os.pread(self.descriptor, length, value).rstrip(b"\0 ").decode("ascii", "replace")
        return end

    def _head(self, position: int, stop: int, *, implicit: bool) -> tuple[int, int, int]:
        """Tag, length and position of the value."""
        self.n_elements += 1
        if self.n_elements > MAX_ELEMENTS:
            raise _fault(position, f"there are more than {MAX_ELEMENTS} elements")
        if position + 8 > stop:
            raise _fault(position, "the data set is cut off")
        at = self._at(position)
        group, number, length = struct.unpack_from("<HHI", self.window, at)
        tag = group << 16 | number
        value = position + 8
        if not implicit and group != 0xFFFE:
            vr = self.window[at + 4 : at + 6]
            if vr in _SHORT_VR:
                length >>= 16
            elif vr in _LONG_VR:
                value += 4
                if value > stop:
                    raise _fault(position, "the data set is cut off")
                (length,) = struct.unpack_from("<I", self.window, at + 8)
            else:
                raise _fault(position, f"({group:04X},{number:04X}) has no value representation")
        if length & 1 and length != _UNDEFINED:
            raise _fault(position, f"({group:04X},{number:04X}) has an odd length")
        return tag, length, value

    def _vr(self, position: int) -> bytes:
        at = position - self.window_start
        return self.window[at + 4 : at + 6]

    def _at(self, position: int) -> int:
        """Bring the next 12 bytes into the window, and say where they lie in it."""
        at = position - self.window_start
        if at < 0 or at + 12 > len(self.window):
            self.window = os.pread(self.descriptor, _WINDOW, position)
            if len(self.window) < min(12, self.stop - position):
                raise _fault(position, "the file is shorter than it was")
            if len(self.window) < _WINDOW:
                self.window += bytes(12)
            self.window_start = position
            at = 0
        return at

    def _end_of_fragments(self, position: int, stop: int) -> int:
        """Walk the fragments of encapsulated Pixel Data; the first is the Basic Offset Table."""
        n_left = MAX_ELEMENTS - self.n_elements
        pread, unpack, descriptor = os.pread, struct.Struct("<HHI").unpack, self.descriptor
        while position + 8 <= stop:
            group, number, length = unpack(pread(descriptor, 8, position))
            if group != 0xFFFE or number != 0xE000:
                if number == 0xE0DD and group == 0xFFFE and length == 0:
                    self.n_elements = MAX_ELEMENTS - n_left
                    return position + 8
                break
            n_left -= 1
            if length & 1 or length > stop - position - 8 or n_left < 0:
                break
            position += 8 + length
        raise _fault(position, "the fragments of Pixel Data are damaged or cut off")

    def _uid(self, tag: int, keyword: str) -> str:
        uid = self.uids.get(tag, "")
        if not uid:
            msg = f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X}) is missing"
            raise DamagedInstanceError(msg)
        if not is_valid_uid(uid):
            msg = f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X}) is not a UID"
            raise DamagedInstanceError(msg)
        return uid


def _inside(value: int, length: int, stop: int) -> int:
    end = value + length
    if end > stop:
        raise _fault(value, f"a value reaches {end - stop} bytes beyond its end")
    return end


def _fault(position: int, what: str) -> DamagedInstanceError:
    msg = f"{what}, at byte {position}"
    return DamagedInstanceError(msg)


@cache
def _sequences() -> frozenset[int]:
    """Tags of all sequences of the standard, for implicit VR."""
    from pydicom._dicom_dict import DicomDictionary

    return frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")
