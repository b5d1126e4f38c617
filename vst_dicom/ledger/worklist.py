"""Slides with all that came of them, page by page; a page takes the same few queries however many slides there are."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from vst_dicom.ledger.catalog import IS_PUBLISHED
from vst_dicom.ledger.database import utc
from vst_dicom.ledger.deliveries import Delivery, list_deliveries_of
from vst_dicom.ledger.jobs import Job, to_job
from vst_dicom.ledger.slides import Slide, count_instances, to_slide
from vst_dicom.ledger.states import DeliveryState, JobState, SlideState
from vst_dicom.ledger.tables import decisions, deliveries, jobs, shadows, slides

_OPEN_JOBS: Final = (JobState.QUEUED, JobState.RUNNING)
_OPEN_DELIVERIES: Final = (DeliveryState.WAITING, DeliveryState.SENT)


@dataclass(frozen=True, slots=True)
class WorklistEntry:
    """A slide and where it stands.

    Parameters
    ----------
    slide
        Its row.
    n_instances
        Of which it consists.
    job
        Of its latest content; None if there is none.
    deliveries
        Of that job's result.
    result_key
        Of the newest result that is on disk; None if there is none.
    """

    slide: Slide
    n_instances: int
    job: Job | None
    deliveries: tuple[Delivery, ...]
    result_key: str | None


@dataclass(frozen=True, slots=True)
class StudySummary:
    """A study of which slides came.

    Parameters
    ----------
    study_instance_uid
        Which.
    n_slides
        How many.
    first_instance_at, last_instance_at
        When their instances came, UTC.
    """

    study_instance_uid: str
    n_slides: int
    first_instance_at: datetime
    last_instance_at: datetime


def list_entries(
    connection: Connection,
    *,
    states: Iterable[SlideState] = SlideState,
    job_states: Iterable[JobState] = (),
    search: str = "",
    limit: int,
    offset: int = 0,
) -> tuple[list[WorklistEntry], int]:
    """Read a page of slides, those with the latest instances first.

    Parameters
    ----------
    connection
        To the ledger.
    states
        Of the slides.
    job_states
        Of the jobs of their latest content; any, or none at all, if empty.
    search
        How the UID of the study or series begins.
    limit, offset
        Which page.

    Returns
    -------
    tuple[list[WorklistEntry], int]
        The page, and how many slides there are on all pages.
    """
    wanted: list[ColumnElement[bool]] = []
    if set(states) != set(SlideState):
        wanted.append(slides.c.state.in_(list(states)))
    if chosen := list(job_states):
        wanted.append(
            slides.c.id.in_(_latest_jobs().where(jobs.c.state.in_(chosen)).with_only_columns(jobs.c.slide_id))
        )
    if search:
        wanted.append(
            or_(
                func.substr(slides.c.study_instance_uid, 1, len(search)) == search,
                func.substr(slides.c.series_instance_uid, 1, len(search)) == search,
            )
        )
    total = connection.execute(select(func.count()).select_from(slides).where(*wanted)).scalar_one()
    query = select(slides).where(*wanted).order_by(slides.c.last_instance_at.desc(), slides.c.id.desc())
    page = [to_slide(row) for row in connection.execute(query.limit(limit).offset(offset))]
    return _complete(connection, page), total


def read_entries(connection: Connection, slide_ids: Collection[int]) -> list[WorklistEntry]:
    """Read slides by number, in the order of their numbers; those that do not exist are left out."""
    query = select(slides).where(slides.c.id.in_(slide_ids)).order_by(slides.c.id)
    return _complete(connection, [to_slide(row) for row in connection.execute(query)])


def list_study_summaries(connection: Connection, *, limit: int, offset: int = 0) -> tuple[list[StudySummary], int]:
    """Read a page of studies, those with the latest instances first, and how many there are on all pages."""
    latest = func.max(slides.c.last_instance_at)
    query = (
        select(
            slides.c.study_instance_uid,
            func.count().label("n_slides"),
            func.min(slides.c.first_instance_at).label("first"),
            latest.label("last"),
        )
        .group_by(slides.c.study_instance_uid)
        .order_by(latest.desc(), slides.c.study_instance_uid)
    )
    rows = connection.execute(query.limit(limit).offset(offset))
    found = [StudySummary(row.study_instance_uid, row.n_slides, utc(row.first), utc(row.last)) for row in rows]
    total = connection.execute(select(func.count(slides.c.study_instance_uid.distinct()))).scalar_one()
    return found, total


def list_moving_slides(connection: Connection, *, after_decision: int, most: int) -> tuple[set[int], int]:
    """Find slides about which something may change soon, or was decided.

    Parameters
    ----------
    connection
        To the ledger.
    after_decision
        Decisions up to this row are known.
    most
        Slides of each kind: the newest, those with an open job, with an open delivery, newly decided.

    Returns
    -------
    tuple[set[int], int]
        Numbers of slides, and the row of the last decision.
    """
    newest = select(slides.c.id).order_by(slides.c.last_instance_at.desc()).limit(most)
    processed = select(jobs.c.slide_id).where(jobs.c.state.in_(_OPEN_JOBS))
    sent = (
        select(jobs.c.slide_id)
        .join(deliveries, deliveries.c.job_key == jobs.c.key)
        .where(deliveries.c.state.in_(_OPEN_DELIVERIES))
        .order_by(deliveries.c.id.desc())
    )
    found = set(connection.execute(newest).scalars())
    found.update(connection.execute(processed.order_by(jobs.c.state.desc(), jobs.c.created_at).limit(most)).scalars())
    found.update(connection.execute(sent.limit(most)).scalars())
    decided = (
        select(decisions.c.id, decisions.c.slide_id)
        .where(decisions.c.id > after_decision)
        .order_by(decisions.c.id)
        .limit(most)
    )
    for row in connection.execute(decided):
        after_decision = row.id
        if row.slide_id is not None:
            found.add(row.slide_id)
    return found, after_decision


def last_decision(connection: Connection) -> int:
    """Row of the last decision; 0 if there is none."""
    return connection.execute(select(func.max(decisions.c.id))).scalar_one() or 0


def _complete(connection: Connection, page: list[Slide]) -> list[WorklistEntry]:
    numbers = [slide.id for slide in page]
    counts = count_instances(connection, numbers)
    latest: dict[int, Job] = {}
    in_page = _latest_jobs().where(jobs.c.slide_id.in_(numbers)).order_by(jobs.c.created_at, jobs.c.key)
    for row in connection.execute(in_page):
        latest[row.slide_id] = to_job(row)
    sent = list_deliveries_of(connection, [job.key for job in latest.values()])
    results: dict[int, str] = {}
    made = select(jobs.c.slide_id, jobs.c.key).where(jobs.c.slide_id.in_(numbers), IS_PUBLISHED)
    for row in connection.execute(made.order_by(jobs.c.created_at, jobs.c.key)):
        results[row.slide_id] = row.key
    entries = []
    for slide in page:
        job = latest.get(slide.id)
        rows = tuple(sent.get(job.key, ())) if job else ()
        entries.append(WorklistEntry(slide, counts.get(slide.id, 0), job, rows, results.get(slide.id)))
    return entries


def _latest_jobs() -> Select[Any]:
    """Jobs that no other succeeds; shadows do not count."""
    successor = jobs.alias()
    succeeded = select(successor.c.predecessor_key).where(successor.c.predecessor_key.is_not(None))
    return select(jobs).where(jobs.c.key.not_in(select(shadows.c.job_key)), jobs.c.key.not_in(succeeded))
