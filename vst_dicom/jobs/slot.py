"""The name of a working process: host, role and slot, held by a file lock as long as the process lives."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vst_dicom.domain.errors import UsageError


@contextmanager
def held_slot(folder: Path, executor_id: str) -> Iterator[None]:
    """Hold the name of an executor.

    A process that starts again under the same name gets back at once what it left unfinished. The lock makes sure
    that two never use one name; the system frees it however the process ends.

    Parameters
    ----------
    folder
        Where lock files lie; made if missing.
    executor_id
        The name: host, role and slot.

    Raises
    ------
    UsageError
        If another process holds the slot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / f"{executor_id}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"another process already works as {executor_id}; stop it, or choose another --slot"
            raise UsageError(msg) from None
        yield
    finally:
        os.close(handle)
