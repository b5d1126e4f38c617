"""One file of a slide: its header, and where its frames lie; the pixels stay on disk."""

import mmap
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.tag import Tag
from pydicom.uid import UID, ImplicitVRLittleEndian

from vst_dicom.dicom.attributes import read_text, read_uid
from vst_dicom.dicom.whole_slide import VL_WHOLE_SLIDE, is_volume
from vst_dicom.domain.errors import DamagedInstanceError, NotDicomError, UnsupportedInstanceError, VstDicomError
from vst_dicom.slide.codecs import check_transfer_syntax
from vst_dicom.slide.elements import (
    EXTENDED_OFFSET_TABLE,
    PER_FRAME_FUNCTIONAL_GROUPS,
    PIXEL_DATA,
    Element,
    walk_elements,
)
from vst_dicom.slide.frame_places import FramePlaces, read_frame_places

_PREFIX_BYTES: Final = 132
"""Preamble and ``DICM`` (PS3.10 7.1)."""


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What the file meta information says (PS3.10 7.1).

    Parameters
    ----------
    path
        Which file.
    sop_class_uid
        Media Storage SOP Class UID (0002,0002).
    transfer_syntax_uid
        (0002,0010).
    """

    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str

    @property
    def sop_class(self) -> str:
        """Name of the SOP class, for messages."""
        return UID(self.sop_class_uid).name or "unknown SOP class"


@dataclass(frozen=True, eq=False)
class InstanceFile:
    """A VL Whole Slide Microscopy instance whose pixels were not touched.

    Parameters
    ----------
    path
        Where it lies.
    size_bytes
        Length of the file.
    transfer_syntax_uid
        How its frames are encoded.
    header
        All attributes before Pixel Data; Per-Frame Functional Groups are converted only if somebody reads them.
    places
        Where each frame lies; None where the instance does not say it frame by frame.
    pixel_data
        Where the value of Pixel Data (7FE0,0010) lies.
    extended_offset_table
        Where the value of (7FE0,0001) lies; None where the instance has none.
    """

    path: Path
    size_bytes: int
    transfer_syntax_uid: str
    header: Dataset
    places: FramePlaces | None
    pixel_data: Element
    extended_offset_table: Element | None

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID (0008,0018)."""
        return read_uid(self.header, "SOPInstanceUID")

    @property
    def is_volume(self) -> bool:
        """Whether it shows tissue at one resolution, and no label."""
        return is_volume(self.header)


def is_dicom(path: Path) -> bool:
    """Whether the file carries the DICOM prefix (PS3.10 7.1)."""
    with path.open("rb") as file:
        return file.read(_PREFIX_BYTES)[128:] == b"DICM"


def identify(path: Path) -> FileIdentity:
    """Read the file meta information only.

    Raises
    ------
    NotDicomError
        If the file does not carry the DICOM prefix.
    DamagedInstanceError
        If it is empty, or the meta information cannot be read.
    """
    if path.stat().st_size == 0:
        msg = f"{path} is empty (0 bytes); copy or export it again"
        raise DamagedInstanceError(msg)
    if not is_dicom(path):
        msg = f"{path} is not a DICOM file; give a DICOM whole slide image or a slide of a vendor's format"
        raise NotDicomError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes values in its warnings
        try:
            meta = read_file_meta_info(path)
            return FileIdentity(path, read_uid(meta, "MediaStorageSOPClassUID"), read_uid(meta, "TransferSyntaxUID"))
        except Exception as error:
            msg = f"{path}: the file meta information (PS3.10 7.1) cannot be read; export the file again"
            raise DamagedInstanceError(msg) from error


def read_instance(identity: FileIdentity) -> InstanceFile:
    """Read a whole slide instance up to its pixel data.

    Raises
    ------
    UnsupportedInstanceError
        If its header is deflated, before it can inflate, or encoded in an unknown way. How the frames are encoded
        matters only to those who read them.
    DamagedInstanceError
        If anything of it cannot be read.
    """
    path = identity.path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not _has_plain_header(identity.transfer_syntax_uid):
                check_transfer_syntax(identity.transfer_syntax_uid)
            instance = _read(identity)
            for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
                if not read_uid(instance.header, keyword):
                    msg = f"{keyword} is missing"
                    raise DamagedInstanceError(msg)
            return instance
    except VstDicomError as error:
        msg = f"{path.name}: {error}"
        raise type(error)(msg) from error
    except (Exception, RecursionError) as error:
        msg = f"{path.name}: the header cannot be read ({type(error).__name__}); export the file again"
        raise DamagedInstanceError(msg) from error


def read_modality(path: Path) -> str:
    """Modality (0008,0060) for messages about instances that are no slide; empty where it cannot be read."""
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            header = read_partial(file, stop_when=lambda tag, _vr, _length: tag > Tag("Modality"))
            return read_text(header, "Modality")
    except Exception:
        return ""


def _has_plain_header(transfer_syntax_uid: str) -> bool:
    """Whether the data set is little endian and not deflated, as wherever frames are encapsulated (PS3.5 A.4)."""
    uid = UID(transfer_syntax_uid)
    return uid.type == "Transfer Syntax" and "Deflate" not in uid.name and "Big Endian" not in uid.name


def _read(identity: FileIdentity) -> InstanceFile:
    implicit = identity.transfer_syntax_uid == ImplicitVRLittleEndian
    with identity.path.open("rb") as file:
        header = read_partial(file, stop_when=lambda tag, _vr, _length: tag >= PER_FRAME_FUNCTIONAL_GROUPS)
        rest = file.tell()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            size_bytes = len(view)
            elements: dict[int, Element] = {}
            for element in walk_elements(view, rest, size_bytes, implicit=implicit):
                elements[element.tag] = element
                if element.tag == PIXEL_DATA:
                    break
            places = None
            groups = elements.get(PER_FRAME_FUNCTIONAL_GROUPS)
            if groups is not None:
                places = read_frame_places(view, groups, implicit=implicit)
                header[Tag(groups.tag)] = _keep_raw(view, groups, implicit=implicit)
    if PIXEL_DATA not in elements:
        if identity.sop_class_uid == VL_WHOLE_SLIDE:
            raise DamagedInstanceError("there is no Pixel Data (7FE0,0010); the file may be cut off: export it again")
        raise UnsupportedInstanceError("there is no Pixel Data (7FE0,0010)")
    return InstanceFile(
        path=identity.path,
        size_bytes=size_bytes,
        transfer_syntax_uid=identity.transfer_syntax_uid,
        header=header,
        places=places,
        pixel_data=elements[PIXEL_DATA],
        extended_offset_table=elements.get(EXTENDED_OFFSET_TABLE),
    )


def _keep_raw(view: memoryview, element: Element, *, implicit: bool) -> RawDataElement:
    value = bytes(view[element.start : element.stop])
    return RawDataElement(Tag(element.tag), "SQ", len(value), value, element.start, implicit, True)
