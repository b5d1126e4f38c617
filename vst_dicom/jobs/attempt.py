"""One attempt at a job: start, make the result or find it made, close. It may be killed between any two lines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Final

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from vst_dicom.domain.errors import InputError, VstDicomError
from vst_dicom.jobs.failure import where
from vst_dicom.jobs.results import ResultStore
from vst_dicom.ledger.jobs import Job, finish_attempt, holds, report_progress, requeue_attempt, start_attempt
from vst_dicom.ledger.states import JobState

_log = structlog.get_logger(__name__)

_REPORT_EVERY_S: Final = 1.0


class AttemptEndedError(Exception):
    """The attempt may not go on; not a failure of the job."""


class FencedError(AttemptEndedError):
    """The job was cancelled, or somebody else has it now."""


class InterruptedAttemptError(AttemptEndedError):
    """The worker itself stops."""


class Attempt:
    """What a running attempt tells the ledger, and learns from it.

    Parameters
    ----------
    database
        The ledger.
    job
        As it was started.
    stopping
        Set when this process is to stop.
    """

    def __init__(self, database: Engine, job: Job, stopping: Event) -> None:
        self._database = database
        self._job = job
        self._stopping = stopping
        self._stage = ""
        self._next_report = 0.0

    def report(self, stage: str, done: int, total: int) -> None:
        """Say how far a stage is; written once a second, and when the stage changes.

        Raises
        ------
        AttemptEndedError
            If the attempt may not go on.
        """
        if self._stopping.is_set():
            raise InterruptedAttemptError
        if stage == self._stage and monotonic() < self._next_report:
            return
        self._stage, self._next_report = stage, monotonic() + _REPORT_EVERY_S
        try:
            with self._database.begin() as connection:
                held = report_progress(connection, self._job, stage, done / total if total else 1.0)
        except OperationalError:  # a database away for a moment ends no long work; the closing asks again
            return
        if not held:
            raise FencedError

    def check(self) -> None:
        """Ask whether the attempt may write.

        Raises
        ------
        AttemptEndedError
            If not.
        """
        if self._stopping.is_set():
            raise InterruptedAttemptError
        with self._database.begin() as connection:
            if not holds(connection, self._job):
                raise FencedError


Process = Callable[[Job, Path, Attempt], None]
"""Makes the result of a job in a folder that is not there yet, and reports its progress."""

Write = Callable[[Connection], None]
"""Writes rows inside a transaction."""

Closing = Callable[[Job, Path, Mapping[str, str]], Write]
"""Looks at a result's folder (SHA-256 by file name); what it gives back writes what follows from the result, in the
transaction that ends the job."""


@dataclass(frozen=True)
class JobRunner:
    """Makes attempts.

    Parameters
    ----------
    database, store
        Ledger and result folders.
    process, close
        What makes a result, and what follows from it.
    most_attempts
        Starts after which a job is parked.
    stopping
        Set when this process is to stop.
    """

    database: Engine
    store: ResultStore
    process: Process
    close: Closing
    most_attempts: int
    stopping: Event

    def run(self, key: str, round_: int) -> None:
        """Make one attempt at a job; what became of it is in the ledger.

        A job that is finished, cancelled or in a later round is left alone.
        """
        job = self._start(key, round_)
        if job is None:
            return
        log = _log.bind(job=job.key, attempt=job.attempts)
        log.info("job started", bundle=job.bundle)
        try:
            self._work(job)
        except FencedError:
            log.warning("attempt ended: the job is cancelled, or another worker has it")
        except InterruptedAttemptError:
            self._requeue(job, "interrupted by a stop of its worker", forgive=True)
            log.info("attempt interrupted")
        except InputError as error:
            self._end(job, JobState.REFUSED, str(error))
            log.warning("slide refused", code=error.code)
        except VstDicomError as error:
            self._fail(job, str(error), retryable=error.retryable)
            log.warning("attempt failed", code=error.code)
        except MemoryError:
            self._fail(job, "memory ran out; choose a smaller batch_size or a machine with more memory", retryable=True)
            log.warning("attempt failed", code="resource")
        except Exception as error:
            self._fail(job, f"failed unexpectedly ({type(error).__name__}); see the log", retryable=True)
            log.error("attempt failed unexpectedly", **where(error))
        else:
            log.info("job done")
        finally:
            self.store.discard(job.key, job.attempts)

    def _start(self, key: str, round_: int) -> Job | None:
        with self.database.begin() as connection:
            job = start_attempt(connection, key, round_, datetime.now(UTC))
            if job is None or job.failed_attempts <= self.most_attempts:
                return job
            reason = (
                f"its worker died in each of {self.most_attempts} attempts; retry with: vst-dicom jobs retry {key[:12]}"
            )
            finish_attempt(connection, job, JobState.PARKED, now=datetime.now(UTC), reason=reason)
        _log.error("job parked: it kills its worker", job=key)
        return None

    def _work(self, job: Job) -> None:
        attempt = Attempt(self.database, job, self.stopping)
        hashes = self.store.find(job.key)
        if hashes is None:
            folder = self.store.work_folder(job.key, job.attempts)
            self.process(job, folder, attempt)
            attempt.check()
            hashes = self.store.publish(job.key, folder)
        write = self.close(job, self.store.path(job.key), hashes)
        with self.database.begin() as connection:
            if not holds(connection, job):
                raise FencedError
            write(connection)
            finish_attempt(connection, job, JobState.DONE, now=datetime.now(UTC))

    def _fail(self, job: Job, reason: str, *, retryable: bool) -> None:
        if retryable and job.failed_attempts < self.most_attempts:
            self._requeue(job, reason, forgive=False)
        else:
            self._end(job, JobState.PARKED, reason)

    def _end(self, job: Job, to: JobState, reason: str) -> None:
        with self.database.begin() as connection:
            finish_attempt(connection, job, to, now=datetime.now(UTC), reason=reason)

    def _requeue(self, job: Job, reason: str, *, forgive: bool) -> None:
        with self.database.begin() as connection:
            requeue_attempt(connection, job, reason=reason, forgive=forgive)
