"""Which work copies are no longer needed on disk, because their destinations have what was made of them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, exists, not_, or_, select, update

from vst_dicom.ledger.deliveries import NEVER
from vst_dicom.ledger.states import DeliveryState, JobState, SlideState
from vst_dicom.ledger.tables import deliveries, instances, jobs, shadows, slides

_IS_FINISHED = or_(
    deliveries.c.state == DeliveryState.COMMITTED,
    and_(deliveries.c.state == DeliveryState.SENT, deliveries.c.next_attempt_at >= NEVER),
)
"""As `Delivery.is_finished`."""


@dataclass(frozen=True, slots=True)
class RemovableInstance:
    """A file of the spool that no job needs any more; its hash where it is known."""

    id: int
    file_name: str
    sha256: str | None


def find_removable_result(connection: Connection, before: datetime) -> str | None:
    """Key of the oldest job that finished before a moment and whose result every destination has.

    A result that goes nowhere is never removable: this disk is its only place. That of a shadow goes after the one
    that it stood beside.
    """
    of_job = deliveries.c.job_key == jobs.c.key
    beside = jobs.alias()
    is_left_behind = (
        exists()
        .where(shadows.c.job_key == jobs.c.key)
        .where(beside.c.key == shadows.c.of_key, beside.c.copies_removed_at.is_not(None))
    )
    query = (
        select(jobs.c.key)
        .where(
            jobs.c.state == JobState.DONE,
            jobs.c.finished_at < before,
            jobs.c.copies_removed_at.is_(None),
            or_(and_(exists().where(of_job), not_(exists().where(of_job, not_(_IS_FINISHED)))), is_left_behind),
        )
        .order_by(jobs.c.finished_at)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def find_removable_instance(connection: Connection, before: datetime) -> RemovableInstance | None:
    """Find an instance received before a moment that no job needs any more.

    Those are instances of slides whose results have all been removed, and own results that came back. A shadow that
    failed keeps nothing.
    """
    of_slide = jobs.c.slide_id == slides.c.id
    failed_shadow = and_(
        exists().where(shadows.c.job_key == jobs.c.key), jobs.c.state.in_([JobState.PARKED, JobState.REFUSED])
    )
    still_needed = and_(
        of_slide, jobs.c.copies_removed_at.is_(None), jobs.c.state != JobState.CANCELLED, not_(failed_shadow)
    )
    is_done_with = and_(
        slides.c.state == SlideState.QUEUED,
        exists().where(of_slide, jobs.c.copies_removed_at.is_not(None)),
        not_(exists().where(still_needed)),
    )
    query = (
        select(instances.c.id, instances.c.file_name, instances.c.sha256)
        .outerjoin(slides, slides.c.id == instances.c.slide_id)
        .where(
            instances.c.removed_at.is_(None),
            instances.c.received_at < before,
            or_(is_done_with, instances.c.is_own.is_(True)),
        )
        .order_by(instances.c.id)
        .limit(1)
    )
    row = connection.execute(query).first()
    return RemovableInstance(row.id, row.file_name, row.sha256) if row else None


def record_result_removed(connection: Connection, job_key: str, now: datetime) -> None:
    """Note that a result folder is gone."""
    connection.execute(update(jobs).where(jobs.c.key == job_key).values(copies_removed_at=now))


def record_instance_removed(connection: Connection, instance_id: int, sha256: str | None, now: datetime) -> None:
    """Note that the file of an instance is gone, and the hash of its data set."""
    values = {"removed_at": now, "sha256": sha256}
    connection.execute(update(instances).where(instances.c.id == instance_id).values(values))
