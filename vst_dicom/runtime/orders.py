"""What a person may order about slides and jobs; everything is written down as a decision."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from vst_dicom.domain.errors import ConflictError
from vst_dicom.ledger.decisions import What, record_decision
from vst_dicom.ledger.deliveries import Delivery, list_deliveries_of, retry_parked
from vst_dicom.ledger.jobs import Job, change_priority, move_job
from vst_dicom.ledger.slides import Slide, ask_to_run_now, read_slide
from vst_dicom.ledger.states import DeliveryState, JobState

_MOVED: Final = {JobState.QUEUED: "queued again", JobState.CANCELLED: "cancelled"}


def run_slides_now(connection: Connection, slides: Iterable[Slide], now: datetime) -> None:
    """Ask for slides to be processed without waiting, also where a rule would hold or ignore them."""
    for slide in slides:
        ask_to_run_now(connection, [slide.id], now)
        record_decision(
            connection,
            at=now,
            study_instance_uid=slide.study_instance_uid,
            slide_id=slide.id,
            what=What.ASKED,
            reason="a person asked to process the slide now",
        )


def retry_jobs(connection: Connection, jobs: Iterable[Job], now: datetime) -> None:
    """Queue jobs again that have ended; earlier attempts are forgiven.

    Raises
    ------
    ConflictError
        If one of them is queued or running; nothing may be committed then.
    """
    _move(connection, jobs, JobState.QUEUED, now)


def cancel_jobs(connection: Connection, jobs: Iterable[Job], now: datetime) -> None:
    """Cancel jobs that have not ended; running ones stop within seconds, and nothing is sent.

    Raises
    ------
    ConflictError
        If one of them has ended; nothing may be committed then.
    """
    _move(connection, jobs, JobState.CANCELLED, now)


def deliver_again(connection: Connection, jobs: Sequence[Job], now: datetime, *, to: str = "") -> list[Delivery]:
    """Try deliveries again that were given up.

    Parameters
    ----------
    connection, now
        Ledger and time.
    jobs
        Whose results.
    to
        Only to this destination; to each if empty.

    Returns
    -------
    list[Delivery]
        Those that are tried again, as they were.
    """
    parked: list[Delivery] = []
    for start in range(0, len(jobs), 500):
        found = list_deliveries_of(connection, [job.key for job in jobs[start : start + 500]])
        parked += [
            row for rows in found.values() for row in rows
            if row.state is DeliveryState.PARKED and to in ("", row.destination)
        ]  # fmt: skip
    by_key = {job.key: job for job in jobs}
    for row in parked:
        retry_parked(connection, row.id, now)
        _note(connection, by_key[row.job_key], f"the delivery to {row.destination} is tried again", now)
    return parked


def set_priority(connection: Connection, job: Job, priority: int, now: datetime) -> None:
    """Let a job go sooner or later; smaller priorities go first.

    Raises
    ------
    ConflictError
        If it has ended.
    """
    if not change_priority(connection, job.key, priority):
        msg = f"job {job.key} is {job.state}; only what is queued or running has a priority to change"
        raise ConflictError(msg)
    _note(connection, job, f"a person changed the priority from {job.priority} to {priority}", now)


def _move(connection: Connection, jobs: Iterable[Job], to: JobState, now: datetime) -> None:
    for job in jobs:
        reason = f"{_MOVED[to]} by a person"
        move_job(connection, job.key, to, now=now, reason=reason)
        _note(connection, job, reason, now)


def _note(connection: Connection, job: Job, reason: str, now: datetime) -> None:
    slide = read_slide(connection, job.slide_id)
    record_decision(
        connection,
        at=now,
        study_instance_uid=slide.study_instance_uid if slide else "",
        slide_id=job.slide_id,
        job_key=job.key,
        what=What.ASKED,
        reason=reason,
    )
