"""Rows of `slides`, and which instances belong to each."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from vst_dicom.ledger.database import utc
from vst_dicom.ledger.states import JobState, SlideState
from vst_dicom.ledger.tables import instances, jobs, result_instances, shadows, slides

_REASON_LENGTH: Final = 500
"""Of the column; longer reasons are cut."""


@dataclass(frozen=True, slots=True)
class SpooledInstance:
    """A received instance as grouping needs it.

    Parameters
    ----------
    id
        Row of `instances`.
    sop_instance_uid, revision
        Which instance; a changed one of the same UID has a higher revision.
    sop_class_uid, study_instance_uid, series_instance_uid
        As received.
    file_name
        In the spool.
    sha256
        Of the data set; None until somebody needed it.
    received_at
        UTC.
    calling_ae, peer_address
        Who sent it.
    slide_id
        Its slide; None as long as it is not grouped.
    facts
        What grouping took from its header; None until it was grouped.
    removed_at
        Since when its file is no longer in the spool; None as long as it is.
    """

    id: int
    sop_instance_uid: str
    revision: int
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    file_name: str
    sha256: str | None
    received_at: datetime
    calling_ae: str
    peer_address: str
    slide_id: int | None
    facts: dict[str, Any] | None = None
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Slide:
    """One row.

    Parameters
    ----------
    id
        Its number.
    group_key
        Hash of what its instances have in common.
    study_instance_uid, series_instance_uid
        Where it belongs.
    state, reason
        Where it stands, and why.
    first_instance_at, last_instance_at
        When its instances came, UTC.
    run_now
        Whether a person asked not to wait.
    due_at
        When to look at it; None until something happens to it.
    reply_to_ae, reply_to_address
        Who sent it first.
    """

    id: int
    group_key: str
    study_instance_uid: str
    series_instance_uid: str
    state: SlideState
    reason: str
    first_instance_at: datetime
    last_instance_at: datetime
    run_now: bool
    due_at: datetime | None
    reply_to_ae: str
    reply_to_address: str


@dataclass(frozen=True, slots=True)
class SlideJob:
    """What was made of a slide.

    Parameters
    ----------
    key
        Of the job.
    state
        Where it stands.
    predecessor_key
        Job of the slide's earlier content, if any.
    """

    key: str
    state: JobState
    predecessor_key: str | None


_INSTANCE_COLUMNS: Final = tuple(instances.c[name] for name in SpooledInstance.__slots__)


def list_ungrouped_series(connection: Connection, limit: int) -> list[tuple[str, str]]:
    """Find study and series of instances that belong to no slide yet, those that wait longest first."""
    rows = connection.execute(
        select(instances.c.study_instance_uid, instances.c.series_instance_uid)
        .where(instances.c.slide_id.is_(None), instances.c.is_own.is_(False))
        .group_by(instances.c.study_instance_uid, instances.c.series_instance_uid)
        .order_by(func.min(instances.c.id))
        .limit(limit)
    )
    return [(row.study_instance_uid, row.series_instance_uid) for row in rows]


def list_series_instances(
    connection: Connection, study_instance_uid: str, series_instance_uid: str, *, lock: bool = False
) -> list[SpooledInstance]:
    """Read the instances of a series that are no results, in the order of their arrival.

    With `lock`, nobody else can group them until the transaction ends; SQLite's transactions exclude each other anyway.
    """
    query = (
        select(*_INSTANCE_COLUMNS)
        .where(
            instances.c.study_instance_uid == study_instance_uid,
            instances.c.series_instance_uid == series_instance_uid,
            instances.c.is_own.is_(False),
        )
        .order_by(instances.c.id)
    )
    return [_instance(row) for row in connection.execute(query.with_for_update() if lock else query)]


def list_slide_instances(connection: Connection, slide_id: int) -> list[SpooledInstance]:
    """Read the instances of a slide, in the order of their arrival."""
    query = select(*_INSTANCE_COLUMNS).where(instances.c.slide_id == slide_id).order_by(instances.c.id)
    return [_instance(row) for row in connection.execute(query)]


def list_series_slides(connection: Connection, study_instance_uid: str, series_instance_uid: str) -> list[Slide]:
    """Read the slides of a series and keep others from changing them until the transaction ends."""
    query = (
        select(slides)
        .where(slides.c.study_instance_uid == study_instance_uid, slides.c.series_instance_uid == series_instance_uid)
        .order_by(slides.c.id)
        .with_for_update()
    )
    return [to_slide(row) for row in connection.execute(query)]


def list_due_slides(connection: Connection, now: datetime, limit: int) -> list[Slide]:
    """Read the slides that somebody must look at, the longest due first."""
    query = select(slides).where(slides.c.due_at <= now).order_by(slides.c.due_at, slides.c.id).limit(limit)
    return [to_slide(row) for row in connection.execute(query)]


def read_slide(connection: Connection, slide_id: int, *, lock: bool = False) -> Slide | None:
    """Read one slide; None if there is none of this number. With `lock`, others wait until the transaction ends."""
    query = select(slides).where(slides.c.id == slide_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else to_slide(row)


def list_slides(
    connection: Connection,
    *,
    study_instance_uid: str = "",
    states: Iterable[SlideState] = SlideState,
    limit: int = 100,
) -> list[Slide]:
    """Read slides, of one study or of all, those with the latest instances first."""
    query = select(slides).where(slides.c.state.in_(list(states)))
    if study_instance_uid:
        query = query.where(slides.c.study_instance_uid == study_instance_uid)
    query = query.order_by(slides.c.last_instance_at.desc(), slides.c.id).limit(limit)
    return [to_slide(row) for row in connection.execute(query)]


def count_instances(connection: Connection, slide_ids: Collection[int]) -> dict[int, int]:
    """Count the instances of slides."""
    query = (
        select(instances.c.slide_id, func.count())
        .where(instances.c.slide_id.in_(slide_ids))
        .group_by(instances.c.slide_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def add_slide(connection: Connection, **values: Any) -> int:
    """Write a slide and answer its number."""
    return int(connection.execute(insert(slides).values(**values).returning(slides.c.id)).scalar_one())


def change_slide(connection: Connection, slide_id: int, **values: Any) -> None:
    """Change columns of a slide."""
    if "reason" in values:
        values["reason"] = values["reason"][:_REASON_LENGTH]
    connection.execute(update(slides).where(slides.c.id == slide_id).values(**values))


def assign_instances(connection: Connection, instance_ids: Collection[int], slide_id: int) -> None:
    """Say to which slide instances belong."""
    for part in _parts(instance_ids):
        connection.execute(update(instances).where(instances.c.id.in_(part)).values(slide_id=slide_id))


def mark_as_results(connection: Connection, instance_ids: Collection[int]) -> None:
    """Keep instances out of every slide, for good."""
    for part in _parts(instance_ids):
        connection.execute(update(instances).where(instances.c.id.in_(part)).values(is_own=True, slide_id=None))


def store_sha256(connection: Connection, instance_id: int, sha256: str) -> None:
    """Note the hash of an instance's data set."""
    connection.execute(update(instances).where(instances.c.id == instance_id).values(sha256=sha256))


def store_facts(connection: Connection, facts: Mapping[int, dict[str, Any]]) -> None:
    """Note what grouping took from headers, so that files are read once and may be removed."""
    if facts:
        statement = update(instances).where(instances.c.id == bindparam("row")).values(facts=bindparam("content"))
        connection.execute(statement, [{"row": number, "content": content} for number, content in facts.items()])


def ask_to_run_now(connection: Connection, slide_ids: Collection[int], now: datetime) -> None:
    """Note that a person does not want to wait for these slides."""
    connection.execute(update(slides).where(slides.c.id.in_(slide_ids)).values(run_now=True, due_at=now))


def latest_job_key(connection: Connection, slide_id: int) -> str | None:
    """Key of the slide's job that no other job succeeds; None if it has none. Shadows do not count."""
    successor = jobs.alias()
    query = (
        select(jobs.c.key)
        .where(
            jobs.c.slide_id == slide_id,
            jobs.c.key.not_in(select(shadows.c.job_key)),
            ~select(successor.c.key)
            .where(successor.c.slide_id == slide_id, successor.c.predecessor_key == jobs.c.key)
            .exists(),
        )
        .order_by(jobs.c.created_at.desc(), jobs.c.key)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def list_slide_jobs(connection: Connection, slide_id: int) -> list[SlideJob]:
    """Read keys and states of a slide's jobs, the oldest first; shadows are left out."""
    query = (
        select(jobs.c.key, jobs.c.state, jobs.c.predecessor_key)
        .where(jobs.c.slide_id == slide_id, jobs.c.key.not_in(select(shadows.c.job_key)))
        .order_by(jobs.c.created_at, jobs.c.key)
    )
    return [SlideJob(row.key, JobState(row.state), row.predecessor_key) for row in connection.execute(query)]


def find_own_results(connection: Connection, sop_instance_uids: Collection[str], series_instance_uid: str) -> set[str]:
    """Which of these instances are results of this product, or all of them if the series is one of its own."""
    query = select(result_instances.c.sop_instance_uid).where(
        result_instances.c.series_instance_uid == series_instance_uid
    )
    if connection.execute(query.limit(1)).first() is not None:
        return set(sop_instance_uids)
    found: set[str] = set()
    for part in _parts(sop_instance_uids):
        query = select(result_instances.c.sop_instance_uid).where(result_instances.c.sop_instance_uid.in_(part))
        found.update(connection.execute(query).scalars())
    return found


def _parts(values: Collection[Any], size: int = 500) -> list[list[Any]]:
    """Cut into lists short enough for one statement; databases limit the number of parameters."""
    whole = list(values)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _instance(row: Row[Any]) -> SpooledInstance:
    values = row._asdict()
    return SpooledInstance(**values | {"received_at": utc(row.received_at)})


def to_slide(row: Row[Any]) -> Slide:
    """Read a slide from all columns of its row."""
    return Slide(
        id=row.id,
        group_key=row.group_key,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        state=SlideState(row.state),
        reason=row.reason,
        first_instance_at=utc(row.first_instance_at),
        last_instance_at=utc(row.last_instance_at),
        run_now=row.run_now,
        due_at=None if row.due_at is None else utc(row.due_at),
        reply_to_ae=row.reply_to_ae,
        reply_to_address=row.reply_to_address,
    )
