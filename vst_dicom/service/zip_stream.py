"""ZIP archives that are sent while they are made: nothing is held but a piece of one file."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from vst_dicom.domain.errors import MissingInputError

_PIECE_BYTES: Final = 1 << 18


class _Outlet(io.RawIOBase):
    """Holds what an archive writes until it is taken; it cannot be rewound, so sizes follow the content."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._held += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken


def stream_zip(files: Mapping[str, Path]) -> Iterator[bytes]:
    """Give an archive piece by piece; contents are stored, not compressed.

    Parameters
    ----------
    files
        By their names in the archive.

    Raises
    ------
    MissingInputError
        If a file is not there, before the first piece.
    """
    sizes = {}
    for name, path in files.items():
        try:
            sizes[name] = path.stat().st_size
        except OSError as error:
            raise MissingInputError("a file is no longer on disk; ask again") from error
    return _pieces(files, sizes)


def _pieces(files: Mapping[str, Path], sizes: Mapping[str, int]) -> Iterator[bytes]:
    outlet = _Outlet()
    with ZipFile(outlet, "w", ZIP_STORED) as archive:
        for name, path in files.items():
            entry = ZipInfo(name)  # of 1980: the same result is the same archive
            entry.file_size = sizes[name]  # tells a file that needs ZIP64
            with path.open("rb") as source, archive.open(entry, "w") as target:
                while piece := source.read(_PIECE_BYTES):
                    target.write(piece)
                    yield outlet.take()
    yield outlet.take()
