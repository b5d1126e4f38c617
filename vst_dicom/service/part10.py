"""One stored file: where its elements lie, its header, and bytes of it; pixels and bulk data stay on disk."""

import mmap
import os
import struct
import warnings
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.uid import UID, ImplicitVRLittleEndian

from vst_dicom.dicom.attributes import read_uid
from vst_dicom.dicom.whole_slide import VL_WHOLE_SLIDE, is_volume
from vst_dicom.domain.errors import DamagedInstanceError, MissingInputError, UnsupportedInstanceError, VstDicomError
from vst_dicom.receive.spool import find_data_set
from vst_dicom.slide.elements import PER_FRAME_FUNCTIONAL_GROUPS, Bytes, Element, walk_elements, walk_items

PIXEL_GROUP: Final = 0x7FE00000
"""Pixel data and offset tables (PS3.6 6); everything before is header."""

BULK_VR: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
"""Value representations of bytes (PS3.18 F.2.6)."""

ARRAY_VR: Final = frozenset({"OD", "OF", "OL", "OV"})
"""Arrays of numbers, such as the coordinates of annotations: never inline, because viewers only fetch them."""

INLINE_BYTES: Final = 256
"""Larger values of bytes are fetched by their address."""

_MOST_HEADER_VALUE_BYTES: Final = 1 << 20
"""Larger values are not read with the header."""

_LONG_HEAD: Final = struct.Struct("<HH2sxxI")
"""Tag, value representation and length before a value of bytes, explicit VR (PS3.5 table 7.1-1)."""

_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file."""

    start: int
    stop: int

    @property
    def n_bytes(self) -> int:
        """How many there are."""
        return self.stop - self.start


class Part10File:
    """A DICOM file (PS3.10 7) that never changes, open for reading by position from any number of threads.

    Parameters
    ----------
    path
        Where it lies.

    Raises
    ------
    MissingInputError
        If there is no such file any more.
    DamagedInstanceError
        If its structure is broken.
    UnsupportedInstanceError
        If its data set is deflated or big endian.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise MissingInputError("its file is no longer on disk; send the instance again") from error
        weakref.finalize(self, os.close, self._descriptor)
        self.size_bytes = os.fstat(self._descriptor).st_size
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom quotes values in its warnings
                meta = read_file_meta_info(path)
            self.transfer_syntax_uid = read_uid(meta, "TransferSyntaxUID")
            self.sop_class_uid = read_uid(meta, "MediaStorageSOPClassUID")
            self._data_set_start = find_data_set(self._descriptor)
            self.implicit = self.transfer_syntax_uid == ImplicitVRLittleEndian
            self._refuse_other_encodings()
            with self.mapped() as view:
                found = walk_elements(view, self._data_set_start, self.size_bytes, implicit=self.implicit)
                self.elements = {element.tag: element for element in found}
        except VstDicomError:
            raise
        except Exception as error:
            msg = f"its file cannot be read ({type(error).__name__}); send the instance again"
            raise DamagedInstanceError(msg) from error

    def read_header(self) -> Dataset:
        """Read everything before Per-Frame Functional Groups; values above 1 MiB at the top level are left on disk.

        Raises
        ------
        MissingInputError
            If it is an image that may show a label, which is not to be served.
        DamagedInstanceError
            If it cannot be read.
        """
        try:
            with self.path.open("rb") as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = read_partial(
                    file,
                    lambda tag, _vr, _length: tag >= PER_FRAME_FUNCTIONAL_GROUPS,
                    defer_size=_MOST_HEADER_VALUE_BYTES,
                )
        except (Exception, RecursionError) as error:
            msg = f"its header cannot be read ({type(error).__name__}); send the instance again"
            raise DamagedInstanceError(msg) from error
        if self.sop_class_uid == VL_WHOLE_SLIDE and not is_volume(header):
            raise MissingInputError("images of labels and overviews are not served")
        return header

    def behind_header(self) -> Span:
        """Find the elements from Per-Frame Functional Groups up to pixel data."""
        tags = [tag for tag in self.elements if PER_FRAME_FUNCTIONAL_GROUPS <= tag < PIXEL_GROUP]
        if not tags:
            return Span(0, 0)
        first, last = self.elements[min(tags)], self.elements[max(tags)]
        before = [element for tag, element in self.elements.items() if tag < first.tag]
        start = max((_end(element) for element in before), default=self._data_set_start)
        return Span(start, _end(last))

    def find_bulk_data(self, path: Sequence[int]) -> tuple[Span, str]:
        """Find a value of bytes.

        Parameters
        ----------
        path
            Tag; behind the tag of a sequence the number of an item, from 1, and a tag in that item.

        Returns
        -------
        tuple[Span, str]
            Where its value lies, and its value representation.

        Raises
        ------
        MissingInputError
            If there is no such value, or it is not one of bytes.
        """
        nothing = MissingInputError("there is no bulk data at this place of the instance")
        with self.mapped() as view:
            element = self._find(view, path)
            if element is None or element.undefined:
                raise nothing
            vr = self.vr(view, element)
        if vr not in BULK_VR:
            raise nothing
        return Span(element.start, element.stop), vr

    def read_short(self, path: Sequence[int]) -> int | None:
        """Read an unsigned short number, at a path as of `find_bulk_data`; None if there is none."""
        with self.mapped() as view:
            element = self._find(view, path)
        if element is None or element.stop - element.start != 2:
            return None
        return int.from_bytes(self.read(Span(element.start, element.stop)), "little")

    def vr(self, view: Bytes, element: Element) -> str:
        """Value representation of an element whose value is of bytes; empty for most others."""
        if self.implicit:
            return dictionary_vr(element.tag)
        group, number, vr, _ = _LONG_HEAD.unpack_from(view, element.start - _LONG_HEAD.size)
        return vr.decode("latin-1") if group << 16 | number == element.tag else ""

    def read(self, span: Span) -> bytes:
        """Read bytes.

        Raises
        ------
        DamagedInstanceError
            If the file ends before they do.
        """
        data = os.pread(self._descriptor, span.n_bytes, span.start)
        while len(data) < span.n_bytes:
            more = os.pread(self._descriptor, span.n_bytes - len(data), span.start + len(data))
            if not more:
                raise DamagedInstanceError("its file ends too early; send the instance again")
            data += more
        return data

    def stream(self, span: Span | None = None) -> Iterator[bytes]:
        """Read bytes piece by piece; the whole file if no span is given."""
        span = span or Span(0, self.size_bytes)
        for start in range(span.start, span.stop, _CHUNK_BYTES):
            yield self.read(Span(start, min(start + _CHUNK_BYTES, span.stop)))

    def _find(self, view: Bytes, path: Sequence[int]) -> Element | None:
        element = self.elements.get(path[0])
        for item_number, tag in zip(path[1::2], path[2::2], strict=True):
            if element is None:
                return None
            element = self._in_item(view, element, item_number, tag)
        return element

    def _in_item(self, view: Bytes, sequence: Element, item_number: int, tag: int) -> Element | None:
        for number, (start, stop) in enumerate(walk_items(view, sequence, implicit=self.implicit), start=1):
            if number == item_number:
                found = walk_elements(view, start, stop, implicit=self.implicit)
                return next((element for element in found if element.tag == tag), None)
        return None

    def _refuse_other_encodings(self) -> None:
        uid = UID(self.transfer_syntax_uid)
        if "Deflate" in uid.name or "Big Endian" in uid.name:
            msg = f"instances encoded in {uid.name} are not served; send it in another transfer syntax"
            raise UnsupportedInstanceError(msg)

    def mapped(self) -> "_Mapped":
        """Give a view of all bytes for as long as a block lasts."""
        return _Mapped(self._descriptor)


def dictionary_vr(tag: int) -> str:
    """Value representation that the dictionary has for an attribute (PS3.6), the first of several."""
    return dictionary_VR(tag).partition(" ")[0] if dictionary_has_tag(tag) else "UN"


def _end(element: Element) -> int:
    return element.stop + (8 if element.undefined else 0)


class _Mapped:
    """A view of a file's bytes for as long as the block lasts."""

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        self._view = memoryview(self._map)

    def __enter__(self) -> memoryview:
        return self._view

    def __exit__(self, *_: object) -> None:
        self._view.release()
        self._map.close()
