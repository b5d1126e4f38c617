"""The name of a working process: host, role and slot, held by a file lock as long as the process lives."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vst_dicom.domain.errors import UsageError


@contextmanager
def held_slot(folder: Path, host: str, role: str, slot: int) -> Iterator[str]:
    """Hold a slot; yields the executor's name.

    A process that starts again under the same name gets back at once what it left unfinished. The lock makes sure
    that two never use one name; the system frees it however the process ends.

    Parameters
    ----------
    folder
        Where lock files lie; made if missing.
    host, role, slot
        What makes the name.

    Raises
    ------
    UsageError
        If another process holds the slot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{host}:{role}:{slot}"
    handle = os.open(folder / f"{host}-{role}-{slot}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"another process already works as {name}; stop it, or choose another --slot"
            raise UsageError(msg) from None
        yield name
    finally:
        os.close(handle)
