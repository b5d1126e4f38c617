"""Free the disk of slides and results that every destination has."""

import hashlib
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
from pynetdicom.dsutils import split_dataset
from sqlalchemy import Connection, Engine

from vst_dicom.config import Settings
from vst_dicom.ledger.retention import (
    find_removable_instance,
    find_removable_result,
    record_instance_removed,
    record_result_removed,
)

_MOST_AT_ONCE: Final = 1000
_HASH_BYTES: Final = 1 << 20

log = structlog.get_logger()


def remove_work_copies(database: Engine, settings: Settings, now: datetime) -> tuple[int, int]:
    """Remove results that every destination has, and then the slides that they were made of.

    Only what finished longer ago than ``storage.keep_delivered`` goes. A destination has a result when it committed
    or showed it, or, where neither is configured, accepted it. A result without destination stays. Rows stay, with
    the hash of each instance, so that the same slide sent again is still known.

    Parameters
    ----------
    database, settings
        What is known, and where files lie.
    now
        The time, UTC.

    Returns
    -------
    tuple[int, int]
        How many result folders and how many instance files were removed; the rest waits for the next pass.
    """
    before = now - settings.storage.keep_delivered

    def remove_result(connection: Connection) -> bool:
        key = find_removable_result(connection, before)
        if key is not None:
            shutil.rmtree(settings.results / key, ignore_errors=True)
            record_result_removed(connection, key, now)
        return key is not None

    def remove_instance(connection: Connection) -> bool:
        found = find_removable_instance(connection, before)
        if found is not None:
            path = settings.spool / found.file_name
            sha256 = found.sha256 or (_hash_data_set(path) if path.is_file() else None)
            path.unlink(missing_ok=True)
            record_instance_removed(connection, found.id, sha256, now)
        return found is not None

    n_results, n_instances = _repeat(database, remove_result), _repeat(database, remove_instance)
    if n_results or n_instances:
        log.info("work copies removed", results=n_results, instances=n_instances)
    return n_results, n_instances


def _repeat(database: Engine, remove_one: Callable[[Connection], bool]) -> int:
    """Remove one by one, each in a transaction, so that nobody begins to use what goes."""
    for n_removed in range(_MOST_AT_ONCE):
        with database.begin() as connection:
            if not remove_one(connection):
                return n_removed
    return _MOST_AT_ONCE


def _hash_data_set(path: Path) -> str:
    """SHA-256 of a file's data set, without preamble and file meta information."""
    _, offset = split_dataset(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(_HASH_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
