"""Received instances: what came, and what came again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, Engine, func, insert, select
from sqlalchemy.exc import IntegrityError

from vst_dicom.ledger.states import JobState
from vst_dicom.ledger.tables import decisions, instances, jobs, shadows

_MOST_RIVALS: Final = 100
"""How often another process may record the same SOP Instance UID between our look and our insert."""


class Outcome(StrEnum):
    """What an instance is beside those that came before."""

    NEW = "new"
    DUPLICATE = "duplicate"
    """The same bytes are here already; nothing was recorded."""

    CHANGED = "changed"
    """Other bytes under a known SOP Instance UID; recorded as a further revision, with an alert."""


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """A complete file in the spool that has no row yet.

    Parameters
    ----------
    sop_instance_uid, sop_class_uid, study_instance_uid, series_instance_uid
        Of the data set.
    transfer_syntax_uid
        How it was sent and is stored.
    file_name
        In the spool; made from random numbers, never from a UID.
    n_bytes
        Of the data set, without preamble and file meta information.
    calling_ae, peer_address
        Who sent it; empty where that is not known any more.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    file_name: str
    n_bytes: int
    calling_ae: str = ""
    peer_address: str = ""


@dataclass(frozen=True, slots=True)
class Revision:
    """One content of a SOP Instance UID; revision 0 came first."""

    instance_id: int
    revision: int
    file_name: str
    n_bytes: int
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """Which row holds an instance's content."""

    outcome: Outcome
    instance_id: int
    revision: int


def find_revisions(connection: Connection, sop_instance_uid: str) -> tuple[Revision, ...]:
    """Find all contents of a SOP Instance UID, oldest first."""
    columns = instances.c
    rows = connection.execute(
        select(columns.id, columns.revision, columns.file_name, columns.n_bytes, columns.transfer_syntax_uid)
        .where(columns.sop_instance_uid == sop_instance_uid)
        .order_by(columns.revision)
    )
    return tuple(Revision(*row) for row in rows)


def find_sha256(connection: Connection, instance_id: int) -> str | None:
    """Find the hash of an instance's data set; it is known once the file was removed, and perhaps before."""
    return connection.execute(select(instances.c.sha256).where(instances.c.id == instance_id)).scalar_one_or_none()


def record_instance(
    engine: Engine, instance: ReceivedInstance, is_same: Callable[[Revision], bool], at: datetime
) -> Recorded:
    """Record a file, unless its bytes are known; committed when this returns.

    Whoever stores the same SOP Instance UID at the same moment collides on the revision; the loser looks again.
    An instance that came back changed is kept as a new revision and not refused: its sender has accepted the change,
    and refusing it would leave the archive and us with different slides. The alert tells a person.

    Parameters
    ----------
    engine
        The database.
    instance
        What came.
    is_same
        Says whether a known content is byte for byte the new one; called outside of any transaction.
    at
        Now, UTC.
    """
    for _ in range(_MOST_RIVALS):
        with engine.connect() as connection:
            known = find_revisions(connection, instance.sop_instance_uid)
        for revision in known:
            if is_same(revision):
                return Recorded(Outcome.DUPLICATE, revision.instance_id, revision.revision)
        number = known[-1].revision + 1 if known else 0
        try:
            with engine.begin() as connection:
                instance_id = _add(connection, instance, number, at)
        except IntegrityError:
            continue
        return Recorded(Outcome.CHANGED if known else Outcome.NEW, instance_id, number)
    msg = f"SOP instance {instance.sop_instance_uid} was recorded by others {_MOST_RIVALS} times in a row"
    raise RuntimeError(msg)


def recorded_file_names(connection: Connection) -> frozenset[str]:
    """Names of all files that have a row."""
    return frozenset(connection.execute(select(instances.c.file_name)).scalars())


def count_waiting_jobs(connection: Connection) -> int:
    """How many jobs wait for a worker; shadows, for which nobody waits, are left out."""
    waiting = select(func.count()).select_from(jobs).where(jobs.c.state == JobState.QUEUED)
    waiting = waiting.where(jobs.c.key.not_in(select(shadows.c.job_key)))
    return connection.execute(waiting).scalar_one()


def _add(connection: Connection, instance: ReceivedInstance, revision: int, at: datetime) -> int:
    added = connection.execute(
        insert(instances).values(
            sop_instance_uid=instance.sop_instance_uid,
            revision=revision,
            sop_class_uid=instance.sop_class_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            file_name=instance.file_name,
            n_bytes=instance.n_bytes,
            received_at=at,
            calling_ae=instance.calling_ae,
            peer_address=instance.peer_address,
        )
    )
    if revision:
        reason = (
            f"SOP instance {instance.sop_instance_uid} came again with other content; "
            f"it is kept as revision {revision} beside the earlier one"
        )
        connection.execute(
            insert(decisions).values(at=at, study_instance_uid=instance.study_instance_uid, what="alert", reason=reason)
        )
    (instance_id,) = added.inserted_primary_key or (0,)
    return int(instance_id)
