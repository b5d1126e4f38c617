"""Read the header of a received instance: bounded, and tolerant of everything but a file that cannot be read."""

import hashlib
import warnings
from pathlib import Path
from typing import BinaryIO, Final, cast

from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.tag import BaseTag, Tag

from vst_dicom.dicom.attributes import read_text
from vst_dicom.domain.errors import DamagedInstanceError, UnsupportedInstanceError

_PER_FRAME_FUNCTIONAL_GROUPS: Final = Tag(0x52009230)
"""Nothing that grouping, rules or the stain need comes later; this alone may be many megabytes."""

_MOST_HEADER_BYTES: Final = 64 << 20
_MOST_VALUE_BYTES: Final = 16 << 20
"""Larger values are passed over, not read."""

_DEFLATED: Final = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.8.1"})
"""A deflated data set may inflate a thousandfold when only its header is asked for (PS3.5 A.5)."""

_FIXED_BYTES: Final = 144
"""Preamble, prefix and File Meta Information Group Length (0002,0000), whose value ends them (PS3.10 7.1)."""

_CHUNK_BYTES: Final = 1 << 20


def read_header(path: Path) -> Dataset:
    """Read the attributes before Per-Frame Functional Groups Sequence (5200,9230).

    Raises
    ------
    DamagedInstanceError
        If the file cannot be read as DICOM, or its header is larger than 64 MiB.
    UnsupportedInstanceError
        If the data set is deflated.
    OSError
        If the file cannot be opened; time may heal that.
    """
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes values in its warnings
        try:
            meta = read_file_meta_info(path)
            if read_text(meta, "TransferSyntaxUID") in _DEFLATED:
                raise UnsupportedInstanceError("the data set is deflated, which is not accepted; send it otherwise")
            # pydicom needs only read, seek and tell
            return read_partial(cast(BinaryIO, _LimitedFile(file)), _is_past_header, defer_size=_MOST_VALUE_BYTES)
        except (DamagedInstanceError, UnsupportedInstanceError, OSError):
            raise
        except (Exception, RecursionError) as error:
            msg = f"the header cannot be read ({type(error).__name__}); send the instance again"
            raise DamagedInstanceError(msg) from error


def hash_data_set(path: Path) -> str:
    """Hash the data set of a stored instance, without the file meta information, which each sender writes anew.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits. The file is read piece by piece.

    Raises
    ------
    DamagedInstanceError
        If the file does not begin with file meta information.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        start = file.read(_FIXED_BYTES)
        if start[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00" or len(start) != _FIXED_BYTES:
            raise DamagedInstanceError("the file does not begin with file meta information (PS3.10 7.1)")
        file.seek(_FIXED_BYTES + int.from_bytes(start[140:], "little"))
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _is_past_header(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag >= _PER_FRAME_FUNCTIONAL_GROUPS)


class _LimitedFile:
    """A file of which only so many bytes can be read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left_bytes = _MOST_HEADER_BYTES
        self.name = file.name

    def read(self, n_bytes: int = -1) -> bytes:
        content = self._file.read(self._left_bytes + 1 if n_bytes < 0 else min(n_bytes, self._left_bytes + 1))
        self._left_bytes -= len(content)
        if self._left_bytes < 0:
            msg = f"the header is larger than {_MOST_HEADER_BYTES >> 20} MiB; send the instance again"
            raise DamagedInstanceError(msg)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
