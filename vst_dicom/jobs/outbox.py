"""Tell the engine what the ledger wants done. Each function is one pass; a kill between any two lines is harmless."""

from typing import Final

import structlog
from sqlalchemy import Engine

from vst_dicom.jobs.engine import Engine as JobEngine
from vst_dicom.jobs.engine import process_id
from vst_dicom.jobs.results import ResultStore
from vst_dicom.ledger.jobs import Job, list_enqueued, list_not_enqueued, mark_enqueued, read_attempts, requeue_lost

_log = structlog.get_logger(__name__)

_BATCH: Final = 500
_FIRST_RETRY_S: Final = 30.0
_LONGEST_RETRY_S: Final = 3600.0


def enqueue_due(database: Engine, engine: JobEngine) -> int:
    """Enqueue queued jobs that the engine does not know of; returns how many.

    A job that failed before waits longer each time. The engine names the work after key and round, so that a job
    enqueued, but not marked, is not worked on twice.
    """
    with database.begin() as connection:
        due = list_not_enqueued(connection, _BATCH)
    for job in due:
        engine.enqueue_process(job.key, job.round, priority=job.priority, delay_s=retry_delay_s(job.failed_attempts))
        with database.begin() as connection:
            mark_enqueued(connection, job.key, job.round)
    return len(due)


def retry_delay_s(failed_attempts: int) -> float:
    """Wait before the next attempt: none before the first, then 30 s, doubled each time up to an hour."""
    if failed_attempts <= 0:
        return 0.0
    return min(_FIRST_RETRY_S * 2.0 ** min(failed_attempts - 1, 20), _LONGEST_RETRY_S)


def enqueue_lost(database: Engine, engine: JobEngine) -> int:
    """Begin a new round of open jobs that the engine has done with or never heard of; returns how many.

    That happens when the engine's database was restored from an earlier backup, or work ended without the ledger
    being reachable.
    """
    n_lost, last = 0, ""
    while True:
        with database.begin() as connection:
            told = list_enqueued(connection, _BATCH, after=last)
        if not told:
            return n_lost
        last = told[-1].key
        finished = engine.finished([process_id(job.key, job.round) for job in told])
        for job in told:
            if finished.get(process_id(job.key, job.round), True) and _begin_again(database, job):
                n_lost += 1


def _begin_again(database: Engine, job: Job) -> bool:
    with database.begin() as connection:
        lost = requeue_lost(connection, job, reason="begun again: its work had ended without a result")
    if lost:
        _log.warning("job was lost by the engine and is enqueued anew", job=job.key)
    return lost


def sweep_work_folders(database: Engine, store: ResultStore) -> int:
    """Remove what dead attempts left on disk; returns how many folders."""
    leftovers = store.leftovers()
    with database.begin() as connection:
        running = read_attempts(connection, [key for key, _ in leftovers])
    dead = [(key, attempt) for key, attempt in leftovers if running.get(key) != attempt]
    for key, attempt in dead:
        store.discard(key, attempt)
    return len(dead)
