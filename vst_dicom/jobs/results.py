"""Result folders: written once, under the job's key, with a manifest of hashes; whoever comes later reuses them."""

import errno
import hashlib
import json
import shutil
from pathlib import Path
from typing import Final

from vst_dicom.domain.errors import ResourceError
from vst_dicom.files import sync

MANIFEST_FILE: Final = "manifest.json"

_WORK: Final = ".work"
_DAMAGED: Final = ".damaged"


class ResultStore:
    """Where result folders lie, one per job key.

    Parameters
    ----------
    folder
        On one file system; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: str) -> Path:
        """Folder of a job's result, whether it is there or not."""
        return self._folder / key

    def find(self, key: str) -> dict[str, str] | None:
        """Hashes of a result that is there and whole; one that is damaged is set aside first.

        Returns
        -------
        dict[str, str] | None
            SHA-256 by file name; None if there is no whole result.
        """
        folder = self.path(key)
        if not folder.exists():
            return None
        hashes = read_verified(folder)
        if hashes is None:
            aside = self._folder / _DAMAGED
            aside.mkdir(exist_ok=True)
            number = sum(1 for _ in aside.glob(f"{key}.*"))
            folder.rename(aside / f"{key}.{number}")
        return hashes

    def work_folder(self, key: str, attempt: int) -> Path:
        """Where one attempt may write: a folder that is not there yet, in one of its own."""
        own = self._folder / _WORK / f"{key}.{attempt}"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        return own / "out"

    def publish(self, key: str, written: Path) -> dict[str, str]:
        """Give a written folder its manifest and its name; if another attempt was faster, its result stands.

        Returns
        -------
        dict[str, str]
            SHA-256 by file name of what now stands under the key.

        Raises
        ------
        ResourceError
            If a damaged result came to stand there meanwhile; the next attempt sets it aside.
        """
        hashes = {path.name: _sha256(path) for path in sorted(written.iterdir())}
        manifest = written / MANIFEST_FILE
        manifest.write_text(json.dumps({"sha256": hashes}, indent=1) + "\n", encoding="utf-8")
        sync(manifest)
        sync(written)
        try:
            written.rename(self.path(key))  # refused where a folder with content stands: written once
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            standing = read_verified(self.path(key))
            if standing is None:
                msg = f"another result of job {key} came to stand there, and is damaged"
                raise ResourceError(msg) from error
            return standing
        sync(self._folder)
        return hashes

    def discard(self, key: str, attempt: int) -> None:
        """Remove what an attempt left behind."""
        shutil.rmtree(self._folder / _WORK / f"{key}.{attempt}", ignore_errors=True)

    def leftovers(self) -> list[tuple[str, int]]:
        """Keys and attempts that have a work folder, running or dead."""
        names = (path.name.rpartition(".") for path in (self._folder / _WORK).glob("*.*"))
        return [(key, int(attempt)) for key, _, attempt in names if attempt.isdecimal()]


def read_verified(folder: Path) -> dict[str, str] | None:
    """Hashes of a result folder's manifest; None unless exactly its files are there with exactly those bytes."""
    try:
        hashes = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))["sha256"]
        found = {path.name: _sha256(path) for path in folder.iterdir() if path.name != MANIFEST_FILE}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return hashes if hashes == found else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
