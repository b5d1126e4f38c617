"""Write DICOM files with encapsulated frames, one at a time, so that memory does not grow with the slide."""

import shutil
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, JPEGBaseline8Bit

from vst_dicom.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_ITEM: Final = struct.Struct("<HHI")
_ITEM_TAG: Final = (0xFFFE, 0xE000)
_SEQUENCE_END: Final = _ITEM.pack(0xFFFE, 0xE0DD, 0)
_PIXEL_DATA: Final = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
_MAX_BASIC_OFFSET: Final = 0xFFFFFFFF


class FrameSpool:
    """Encoded frames on their way to a file, kept beside it as the items of its pixel data (PS3.5 A.4).

    Parameters
    ----------
    path
        Where the frames wait; removed on closing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b")
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self._end = 0

    @property
    def n_bytes(self) -> int:
        """Bytes of all frames."""
        return sum(self._lengths)

    def append(self, frame: bytes) -> None:
        """Add one encoded frame as one fragment of even length."""
        padded = frame + b"\0" if len(frame) % 2 else frame
        self._offsets.append(self._end)
        self._lengths.append(len(padded))
        self._file.write(_ITEM.pack(*_ITEM_TAG, len(padded)))
        self._file.write(padded)
        self._end += _ITEM.size + len(padded)

    def write_instance(self, dataset: Dataset, path: Path) -> None:
        """Write data set and frames as a DICOM file.

        The Basic Offset Table points at the frames while 32 bits suffice, since every reader knows it; beyond, the
        Extended Offset Table (PS3.3 C.7.6.3.1.8) does.
        """
        basic = b""
        if self._end <= _MAX_BASIC_OFFSET:
            basic = struct.pack(f"<{len(self._offsets)}I", *self._offsets)
        else:
            dataset.ExtendedOffsetTable = struct.pack(f"<{len(self._offsets)}Q", *self._offsets)
            dataset.ExtendedOffsetTableLengths = struct.pack(f"<{len(self._lengths)}Q", *self._lengths)
        dataset.file_meta = _file_meta(dataset)
        with path.open("xb") as file:
            dcmwrite(file, dataset, enforce_file_format=True, implicit_vr=False, little_endian=True)
            file.write(_PIXEL_DATA + _ITEM.pack(*_ITEM_TAG, len(basic)) + basic)
            self._file.seek(0)
            shutil.copyfileobj(self._file, file, 1 << 20)
            file.write(_SEQUENCE_END)

    def close(self) -> None:
        """Remove the waiting frames."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta
