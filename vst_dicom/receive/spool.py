"""Where instances wait: nothing is visible there but whole files, and nothing counts but what has a row.

::

    spool/incoming/<random>.part     being received; locked by its writer
    spool/<2 hex>/<32 hex>.dcm       complete Part 10 files, on the disk with their folder

Names are random numbers; nothing that a peer sends becomes part of a path.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from vst_dicom.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from vst_dicom.domain.errors import DamagedInstanceError
from vst_dicom.files import sync

HEAD_BYTES: Final = 144
"""Preamble, ``DICM`` and File Meta Information Group Length (0002,0000) (PS3.10 7.1)."""

_CHUNK_BYTES: Final = 1 << 20


class Incoming:
    """One instance on its way to the disk; its file is locked until it is closed, so that nobody sweeps it away.

    Parameters
    ----------
    path
        Name while it is not whole; must not exist.
    header
        Preamble and file meta information.

    Raises
    ------
    OSError
        If the file cannot be made.
    """

    def __init__(self, path: Path, header: bytes) -> None:
        self.path = path
        self.data_set_start = len(header)
        self._handed_over = 0
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.write(memoryview(header))
        except BaseException:
            self.discard()
            raise

    def write(self, *parts: memoryview) -> None:
        """Append to the file.

        Raises
        ------
        OSError
            Such as a full disk.
        """
        written = os.writev(self.descriptor, parts)
        for part in parts:
            rest = part[written:]
            written = max(written - len(part), 0)
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]

    def hand_over(self) -> None:
        """Let the disk begin with what was written so far, so that little is left when the sender waits for us."""
        written = os.lseek(self.descriptor, 0, os.SEEK_CUR)
        if hasattr(os, "posix_fadvise"):  # on Linux this starts to write without waiting, and keeps unwritten pages
            os.posix_fadvise(self.descriptor, self._handed_over, written - self._handed_over, os.POSIX_FADV_DONTNEED)
        self._handed_over = written

    def keep(self, path: Path) -> None:
        """Bring the bytes to the disk, give the file its name, and bring that to the disk."""
        os.fsync(self.descriptor)
        self.path.rename(path)
        self.path = path
        sync(path.parent)

    def discard(self) -> None:
        """Remove the file, whatever its name is by now; a closed one is not ours any more."""
        if self.descriptor >= 0:
            self.path.unlink(missing_ok=True)
            self.close()

    def close(self) -> None:
        """Give the lock back; harmless when repeated."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Spool:
    """The folder of received instances.

    Parameters
    ----------
    folder
        Made if missing, with its subfolders.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.incoming = folder / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)
        for number in range(256):
            (folder / f"{number:02x}").mkdir(exist_ok=True)
        sync(folder)

    def begin(self, header: bytes) -> Incoming:
        """Open a new temporary file and write the header."""
        return Incoming(self.incoming / f"{secrets.token_hex(16)}.part", header)

    def keep(self, incoming: Incoming) -> str:
        """Make a whole file of it, and give its name in the spool."""
        name = secrets.token_hex(16)
        file_name = f"{name[:2]}/{name}.dcm"
        incoming.keep(self.path(file_name))
        return file_name

    def path(self, file_name: str) -> Path:
        """Path of a whole file."""
        return self.folder / file_name

    def sweep(self) -> int:
        """Remove what a receiver that died left behind; say how many files."""
        swept = 0
        for path in self.incoming.glob("*.part"):
            with FileLock(path) as descriptor:
                if descriptor is not None:
                    path.unlink(missing_ok=True)
                    swept += 1
        return swept

    def whole_files(self) -> Iterator[str]:
        """Names of all whole files."""
        for path in self.folder.glob("[0-9a-f][0-9a-f]/*.dcm"):
            yield f"{path.parent.name}/{path.name}"

    def free_bytes(self) -> tuple[int, int]:
        """Bytes free for us, and bytes in all, on the file system of the spool."""
        facts = os.statvfs(self.folder)
        return facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize


class FileLock:
    """Hold a file's lock; gives None where somebody else holds it, or the file is gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor: int | None = None

    def __enter__(self) -> int | None:
        try:
            self.descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.descriptor)
            self.descriptor = None
        return self.descriptor

    def __exit__(self, *_: object) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)


def encode_header(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = ""
) -> bytes:
    """Encode preamble, prefix and file meta information (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    if source_ae_title:
        meta.SourceApplicationEntityTitle = source_ae_title
    encoded = DicomBytesIO()
    write_file_meta_info(encoded, meta, enforce_standard=True)
    return bytes(128) + b"DICM" + encoded.getvalue()


def find_data_set(descriptor: int) -> int:
    """Find where the data set of a Part 10 file begins, by the length of its file meta information.

    Raises
    ------
    DamagedInstanceError
        If the file does not begin as ours do.
    """
    return data_set_start(os.pread(descriptor, HEAD_BYTES, 0))


def data_set_start(head: bytes) -> int:
    """Say where the data set begins behind the first `HEAD_BYTES` of a Part 10 file.

    Raises
    ------
    DamagedInstanceError
        If the file does not begin as ours do.
    """
    if head[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00" or len(head) != HEAD_BYTES:
        raise DamagedInstanceError("the file does not begin with file meta information (PS3.10 7.1)")
    return HEAD_BYTES + int.from_bytes(head[140:], "little")


def hash_data_set(descriptor: int, n_bytes: int) -> str:
    """SHA-256 of the data set of an open Part 10 file, as lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    start = find_data_set(descriptor)
    for done in range(0, n_bytes, _CHUNK_BYTES):
        digest.update(os.pread(descriptor, min(_CHUNK_BYTES, n_bytes - done), start + done))
    return digest.hexdigest()


def is_same_data_set(one: int, other: int, n_bytes: int) -> bool:
    """Whether two open Part 10 files hold the same `n_bytes` of data set."""
    position, other_position = find_data_set(one), find_data_set(other)
    for done in range(0, n_bytes, _CHUNK_BYTES):
        n = min(_CHUNK_BYTES, n_bytes - done)
        part = os.pread(one, n, position + done)
        if len(part) != n or part != os.pread(other, n, other_position + done):
            return False
    return True
