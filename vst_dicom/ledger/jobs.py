"""Rows of `jobs`: one per slide content, bundle and choice; states change along the table of transitions only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.database import utc
from vst_dicom.ledger.states import JOB_TRANSITIONS, JobState
from vst_dicom.ledger.tables import instances, jobs, slides

_REASON_LENGTH: Final = 500
"""Of the column; longer reasons are cut."""

_OPEN_STATES: Final = (JobState.QUEUED, JobState.RUNNING)

_NEW_ROUND: Final[dict[str, Any]] = {
    "enqueued": False,
    "round": jobs.c.round + 1,
    "finished_at": None,
    "stage": "",
    "progress": 0.0,
}


@dataclass(frozen=True, slots=True)
class Job:
    """One row.

    Parameters
    ----------
    key
        SHA-256 of slide content, bundle and parameters.
    slide_id, predecessor_key
        The slide, and the job of its earlier content, if any.
    instance_ids
        Rows of `instances` that make the slide.
    bundle, genes
        What is predicted; None for all genes that evidence supports.
    destinations
        Names of where the result goes.
    priority
        Smaller goes first.
    state, reason
        Where it stands, and why.
    attempts
        Starts so far; also the token by which a worker proves that nobody started after it.
    attempts_forgiven
        Of those, how many a person has forgiven by retrying; the rest is held against the limit.
    stage, progress
        How far it is; `progress` from 0 to 1 within the stage.
    enqueued
        Whether the engine knows of its present round.
    round
        How often it was queued; names the engine's workflow.
    created_at, started_at, finished_at
        UTC; `started_at` is of the first start ever and dates the result.
    """

    key: str
    slide_id: int
    predecessor_key: str | None
    instance_ids: tuple[int, ...]
    bundle: str
    genes: tuple[str, ...] | None
    destinations: tuple[str, ...]
    priority: int
    state: JobState
    reason: str
    attempts: int
    attempts_forgiven: int
    stage: str
    progress: float
    enqueued: bool
    round: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def failed_attempts(self) -> int:
        """Starts that count against the limit, the present one included."""
        return self.attempts - self.attempts_forgiven


def create_job(
    connection: Connection,
    *,
    key: str,
    slide_id: int,
    predecessor_key: str | None,
    instance_ids: Sequence[int],
    bundle: str,
    genes: Sequence[str] | None,
    destinations: Sequence[str],
    priority: int,
    now: datetime,
) -> bool:
    """Write a queued job, unless one of this key exists; the row is the outbox from which the engine is told.

    Returns
    -------
    bool
        False if there is already a job of this key, in any state.
    """
    row = {
        "key": key,
        "slide_id": slide_id,
        "predecessor_key": predecessor_key,
        "instance_ids": list(instance_ids),
        "bundle": bundle,
        "genes": None if genes is None else list(genes),
        "destinations": list(destinations),
        "priority": priority,
        "state": JobState.QUEUED,
        "created_at": now,
    }
    query = _insert_if_new(connection).values(row).returning(jobs.c.key)
    return connection.execute(query).first() is not None


def read_job(connection: Connection, key: str) -> Job:
    """Read one job.

    Raises
    ------
    UsageError
        If there is none of this key.
    """
    row = connection.execute(select(jobs).where(jobs.c.key == key)).one_or_none()
    if row is None:
        msg = f"there is no job {key}; see: vst-dicom jobs list"
        raise UsageError(msg)
    return _job(row)


def find_job(connection: Connection, prefix: str) -> Job:
    """Read the job whose key starts so.

    Raises
    ------
    UsageError
        If none does, or more than one.
    """
    rows = connection.execute(select(jobs).where(jobs.c.key.startswith(prefix, autoescape=True)).limit(2)).all()
    if len(rows) != 1:
        found = "more than one job has a key" if rows else "no job has a key"
        msg = f"{found} that starts with {prefix!r}; see: vst-dicom jobs list"
        raise UsageError(msg)
    return _job(rows[0])


def list_jobs(connection: Connection, *, states: Iterable[JobState] = JobState, limit: int = 100) -> list[Job]:
    """Read the newest jobs in these states, newest first."""
    rows = connection.execute(
        select(jobs).where(jobs.c.state.in_(list(states))).order_by(jobs.c.created_at.desc(), jobs.c.key).limit(limit)
    )
    return [_job(row) for row in rows]


def list_not_enqueued(connection: Connection, limit: int) -> list[Job]:
    """Read queued jobs that the engine does not know of yet; urgent ones first, then the oldest."""
    rows = connection.execute(
        select(jobs)
        .where(jobs.c.state == JobState.QUEUED, jobs.c.enqueued.is_(False))
        .order_by(jobs.c.priority, jobs.c.created_at)
        .limit(limit)
    )
    return [_job(row) for row in rows]


def list_enqueued(connection: Connection, limit: int, after: str = "") -> list[Job]:
    """Read open jobs that the engine was told of, by key, from the first key after `after`."""
    told = (jobs.c.state.in_(_OPEN_STATES), jobs.c.enqueued.is_(True), jobs.c.key > after)
    return [_job(row) for row in connection.execute(select(jobs).where(*told).order_by(jobs.c.key).limit(limit))]


def mark_enqueued(connection: Connection, key: str, round_: int) -> None:
    """Note that the engine knows of this round of a job; a later round is left alone."""
    connection.execute(update(jobs).where(jobs.c.key == key, jobs.c.round == round_).values(enqueued=True))


def move_job(connection: Connection, key: str, to: JobState, *, now: datetime, reason: str = "") -> JobState:
    """Bring a job into another state.

    A job that is queued again begins a new round: the engine is told anew, and earlier attempts are forgiven.

    Returns
    -------
    JobState
        The state it was in.

    Raises
    ------
    UsageError
        If there is no such job, or the table of transitions forbids the step.
    """
    state = read_job(connection, key).state
    values: dict[str, Any] = {"state": to, "reason": reason[:_REASON_LENGTH]}
    if to is JobState.QUEUED:
        values |= _NEW_ROUND | {"attempts_forgiven": jobs.c.attempts}
    elif to not in _OPEN_STATES:
        values["finished_at"] = now
    moved = to in JOB_TRANSITIONS[state] and (
        connection.execute(update(jobs).where(jobs.c.key == key, jobs.c.state == state).values(values)).rowcount
    )
    if not moved:
        allowed = ", ".join(sorted(JOB_TRANSITIONS[state])) or "nowhere"
        msg = f"job {key} is {state} and can go to {allowed}, not to {to}; see: vst-dicom jobs show {key[:12]}"
        raise UsageError(msg)
    return state


def read_attempts(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    """Read the attempts that are running now, by key, of the jobs given."""
    query = select(jobs.c.key, jobs.c.attempts).where(jobs.c.key.in_(keys), jobs.c.state == JobState.RUNNING)
    return {row.key: row.attempts for row in connection.execute(query)}


def list_job_files(connection: Connection, job: Job) -> list[str]:
    """Names in the spool of the files that make a job's slide."""
    query = select(instances.c.file_name).where(instances.c.id.in_(job.instance_ids)).order_by(instances.c.id)
    return list(connection.execute(query).scalars())


def read_sender(connection: Connection, job: Job) -> tuple[str, str]:
    """AE title and address of who sent a job's slide; empty if unknown."""
    row = connection.execute(
        select(slides.c.reply_to_ae, slides.c.reply_to_address).where(slides.c.id == job.slide_id)
    ).one()
    return row.reply_to_ae, row.reply_to_address


def start_attempt(connection: Connection, key: str, round_: int, now: datetime) -> Job | None:
    """Count one more start of a queued or running job and hand out its token.

    Whoever started before is fenced from here on: its token is no longer the job's `attempts`.

    Returns
    -------
    Job | None
        The job as it now is; None if it is finished, cancelled, or in a later round.
    """
    values = {
        "state": JobState.RUNNING,
        "attempts": jobs.c.attempts + 1,
        "started_at": func.coalesce(jobs.c.started_at, now),
        "stage": "",
        "progress": 0.0,
        "reason": "",
    }
    started = connection.execute(
        update(jobs).where(jobs.c.key == key, jobs.c.round == round_, jobs.c.state.in_(_OPEN_STATES)).values(values)
    )
    return read_job(connection, key) if started.rowcount else None


def holds(connection: Connection, job: Job) -> bool:
    """Whether a started attempt is still the job's last, and the job still running."""
    query = select(jobs.c.key).where(*_held(job))
    if connection.dialect.name != "sqlite":
        query = query.with_for_update()  # SQLite's IMMEDIATE transactions exclude each other anyway
    return connection.execute(query).first() is not None


def report_progress(connection: Connection, job: Job, stage: str, progress: float) -> bool:
    """Write how far an attempt is; False if the job was cancelled, or somebody else has it now."""
    values = {"stage": stage[:32], "progress": min(max(progress, 0.0), 1.0)}
    return connection.execute(update(jobs).where(*_held(job)).values(values)).rowcount == 1


def finish_attempt(connection: Connection, job: Job, to: JobState, *, now: datetime, reason: str = "") -> bool:
    """End an attempt that still holds its job; False, with nothing written, if it does not."""
    if to not in JOB_TRANSITIONS[JobState.RUNNING] - {*_OPEN_STATES}:
        msg = f"an attempt cannot end in {to}"
        raise ValueError(msg)
    values = {"state": to, "reason": reason[:_REASON_LENGTH], "finished_at": now}
    return connection.execute(update(jobs).where(*_held(job)).values(values)).rowcount == 1


def requeue_attempt(connection: Connection, job: Job, *, reason: str, forgive: bool) -> bool:
    """Give a job back to its queue for a new round; False, with nothing written, if the attempt does not hold it.

    Parameters
    ----------
    job
        As it was started.
    reason
        Why, for people.
    forgive
        Whether the attempt is not held against the limit: it was interrupted, and did not fail.
    """
    values = _NEW_ROUND | {"state": JobState.QUEUED, "reason": reason[:_REASON_LENGTH]}
    if forgive:
        values["attempts_forgiven"] = jobs.c.attempts_forgiven + 1
    return connection.execute(update(jobs).where(*_held(job)).values(values)).rowcount == 1


def requeue_lost(connection: Connection, job: Job, *, reason: str) -> bool:
    """Begin a new round of a job that is open, but that the engine has done with; False if it moved on meanwhile."""
    unchanged = (jobs.c.key == job.key, jobs.c.round == job.round, jobs.c.attempts == job.attempts)
    values = _NEW_ROUND | {"state": JobState.QUEUED, "reason": reason[:_REASON_LENGTH]}
    query = update(jobs).where(*unchanged, jobs.c.state.in_(_OPEN_STATES)).values(values)
    return connection.execute(query).rowcount == 1


def _held(job: Job) -> tuple[Any, ...]:
    return (jobs.c.key == job.key, jobs.c.attempts == job.attempts, jobs.c.state == JobState.RUNNING)


def _insert_if_new(connection: Connection) -> Any:
    """Insert that does nothing where the key exists; the two databases spell it alike, SQLAlchemy does not."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(jobs).on_conflict_do_nothing(index_elements=["key"])
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(jobs).on_conflict_do_nothing(index_elements=["key"])
    return insert(jobs)


def _job(row: Row[Any]) -> Job:
    return Job(
        key=row.key,
        slide_id=row.slide_id,
        predecessor_key=row.predecessor_key,
        instance_ids=tuple(row.instance_ids),
        bundle=row.bundle,
        genes=None if row.genes is None else tuple(row.genes),
        destinations=tuple(row.destinations),
        priority=row.priority,
        state=JobState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        attempts_forgiven=row.attempts_forgiven,
        stage=row.stage,
        progress=row.progress,
        enqueued=row.enqueued,
        round=row.round,
        created_at=utc(row.created_at),
        started_at=None if row.started_at is None else utc(row.started_at),
        finished_at=None if row.finished_at is None else utc(row.finished_at),
    )
