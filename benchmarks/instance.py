"""An instance like that of a slide, made in no time: a short header, then fragments as long as JPEG frames."""

import os
from pathlib import Path
from typing import Final

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, generate_uid

_VL_WHOLE_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
_JPEG: Final = "1.2.840.10008.1.2.4.50"
_FRAME_BYTES: Final = 20_000


def write_instance(path: Path, n_bytes: int) -> int:
    """Write a slide-like instance of about `n_bytes`; no pixel is real. Returns its size in bytes."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(_VL_WHOLE_SLIDE)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = UID(_JPEG)
    meta.ImplementationClassUID = generate_uid()
    fragment = _item(0xE000, os.urandom(_FRAME_BYTES))
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM")
        encoded = DicomBytesIO()
        write_file_meta_info(encoded, meta, enforce_standard=True)
        file.write(encoded.getvalue())
        file.write(_element(0x0008, 0x0016, b"UI", _VL_WHOLE_SLIDE))
        file.write(_element(0x0008, 0x0018, b"UI", meta.MediaStorageSOPInstanceUID))
        file.write(_element(0x0010, 0x0020, b"LO", "BENCH"))
        file.write(_element(0x0020, 0x000D, b"UI", generate_uid()))
        file.write(_element(0x0020, 0x000E, b"UI", generate_uid()))
        file.write(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + _item(0xE000, b""))
        for _ in range(n_bytes // len(fragment)):
            file.write(fragment)
        file.write(_item(0xE0DD, b""))
        return file.tell()


def _element(group: int, number: int, representation: bytes, text: str) -> bytes:
    padding = b"\0" if representation == b"UI" else b" "
    value = text.encode() + padding * (len(text) % 2)
    tag = group.to_bytes(2, "little") + number.to_bytes(2, "little")
    return tag + representation + len(value).to_bytes(2, "little") + value


def _item(number: int, value: bytes) -> bytes:
    return b"\xfe\xff" + number.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value
