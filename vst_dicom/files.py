"""Files and folders that are either whole or not there, whenever the process is killed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vst_dicom.domain.errors import ResourceError, UsageError

_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name beside a file; what stands there at the end takes the file's place at once.

    Parameters
    ----------
    path
        The file; its folder exists.

    Yields
    ------
    Path
        Where to write. It is removed if the block raises.

    Raises
    ------
    ResourceError
        If the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _explain(error, path)
        raise


@contextmanager
def whole_folder(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a folder under another name that gets its own when all went well, and vanishes otherwise.

    Parameters
    ----------
    out
        The folder to make, with its parents.
    overwrite
        Whether it may take the place of a folder that is not empty.

    Yields
    ------
    Path
        Where to write; every file directly in it is brought to the disk before the folder gets its name.

    Raises
    ------
    UsageError
        If `out` exists, is not an empty folder, and may not be replaced.
    ResourceError
        If the disk is full.
    """
    out = out.absolute()
    refuse_existing(out, overwrite=overwrite)
    made = [parent for parent in out.parents if not parent.exists()]
    folder = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        folder.mkdir(parents=True)
        yield folder
        for path in folder.iterdir():
            sync(path)
        sync(folder)
        _take_place(folder, out)
        sync(out.parent)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()
        _explain(error, out)
        raise


def refuse_existing(out: Path, *, overwrite: bool = False) -> None:
    """Refuse to write where something else lies.

    Raises
    ------
    UsageError
        If `out` is a file, or a folder that is not empty and may not be replaced.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not overwrite)):
        msg = f"{out} exists and is not an empty folder; choose another --out, or remove it first"
        raise UsageError(msg)


def sync(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_place(folder: Path, out: Path) -> None:
    """Rename a folder; one that is replaced is set aside first and removed last, so that one of both always exists."""
    if not out.exists() or not any(out.iterdir()):
        folder.replace(out)
        return
    aside = out.with_name(f".{out.name}.{os.getpid()}.old")
    out.replace(aside)
    folder.replace(out)
    shutil.rmtree(aside)


def _explain(error: BaseException, path: Path) -> None:
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        msg = f"the disk is full: {path} was not written; free space and repeat"
        raise ResourceError(msg) from error
