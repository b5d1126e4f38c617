"""Rows of `workitems`: Unified Procedure Steps (PS3.4 CC) that others, or this product itself, perform."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from vst_dicom.domain.errors import ConflictError, NotFoundError
from vst_dicom.ledger.database import utc
from vst_dicom.ledger.states import ProcedureStepState
from vst_dicom.ledger.tables import workitems


@dataclass(frozen=True, slots=True)
class Workitem:
    """One row.

    Parameters
    ----------
    id
        Its number, in the order of creation.
    sop_instance_uid
        Of the Unified Procedure Step.
    state
        Where it stands.
    transaction_uid
        Of who claimed it; whoever knows it may change it.
    attributes
        The data set in the DICOM JSON model, with the state, without the transaction.
    is_ours
        Whether it asks for what this product does.
    slide_id, job_key
        What this product performs it on and by; None as long as it does not.
    due_at
        When this product looks at it again, UTC.
    created_at
        UTC.
    """

    id: int
    sop_instance_uid: str
    state: ProcedureStepState
    transaction_uid: str | None
    attributes: dict[str, Any]
    is_ours: bool
    slide_id: int | None
    job_key: str | None
    due_at: datetime | None
    created_at: datetime


def add_workitem(
    connection: Connection,
    sop_instance_uid: str,
    attributes: dict[str, Any],
    *,
    is_ours: bool,
    now: datetime,
) -> None:
    """Write a scheduled work item.

    Raises
    ------
    ConflictError
        If there is one of this UID; the transaction must be rolled back.
    """
    row = {
        "sop_instance_uid": sop_instance_uid,
        "state": ProcedureStepState.SCHEDULED,
        "attributes": attributes,
        "is_ours": is_ours,
        "due_at": now if is_ours else None,
        "created_at": now,
    }
    try:
        connection.execute(insert(workitems).values(row))
    except IntegrityError as error:
        raise ConflictError("there is a work item of this UID; create it under another") from error


def read_workitem(connection: Connection, sop_instance_uid: str, *, lock: bool = False) -> Workitem:
    """Read one. With `lock`, others wait until the transaction ends; SQLite's exclude each other anyway.

    Raises
    ------
    NotFoundError
        If there is none of this UID.
    """
    query = select(workitems).where(workitems.c.sop_instance_uid == sop_instance_uid)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFoundError("there is no such work item")
    return _workitem(row)


def change_workitem(connection: Connection, workitem: Workitem, **values: Any) -> bool:
    """Change columns of a work item; False, with nothing written, if its state or transaction is no longer the same."""
    same = (
        workitems.c.id == workitem.id,
        workitems.c.state == workitem.state,
        workitems.c.transaction_uid.is_not_distinct_from(workitem.transaction_uid),
    )
    return connection.execute(update(workitems).where(*same).values(values)).rowcount == 1


def list_workitems(
    connection: Connection,
    *,
    sop_instance_uids: Sequence[str] = (),
    state: str = "",
    limit: int,
    before: int | None = None,
) -> list[Workitem]:
    """Read a page of work items, the newest first.

    Parameters
    ----------
    connection
        To the ledger.
    sop_instance_uids
        Only these; all if empty.
    state
        Only those that stand there; all if empty.
    limit
        How many at most.
    before
        Only those created before the one of this number.
    """
    query = select(workitems).order_by(workitems.c.id.desc()).limit(limit)
    if sop_instance_uids:
        query = query.where(workitems.c.sop_instance_uid.in_(sop_instance_uids))
    if state:
        query = query.where(workitems.c.state == state)
    if before is not None:
        query = query.where(workitems.c.id < before)
    return [_workitem(row) for row in connection.execute(query)]


def list_due_workitems(connection: Connection, now: datetime, limit: int) -> list[Workitem]:
    """Read work items of this product that somebody must look at, the longest due first."""
    due = (workitems.c.is_ours.is_(True), workitems.c.due_at <= now)
    query = select(workitems).where(*due).order_by(workitems.c.due_at, workitems.c.id).limit(limit)
    return [_workitem(row) for row in connection.execute(query)]


def list_claims(connection: Connection, slide_id: int) -> list[Workitem]:
    """Read work items that were claimed for a slide and have no job yet, the oldest first; others wait meanwhile."""
    query = (
        select(workitems)
        .where(
            workitems.c.slide_id == slide_id,
            workitems.c.job_key.is_(None),
            workitems.c.state == ProcedureStepState.IN_PROGRESS,
        )
        .order_by(workitems.c.id)
        .with_for_update()
    )
    return [_workitem(row) for row in connection.execute(query)]


def list_open_of_job(connection: Connection, job_key: str) -> list[Workitem]:
    """Read work items that a job performs and that are not final."""
    query = select(workitems).where(workitems.c.job_key == job_key, workitems.c.state == ProcedureStepState.IN_PROGRESS)
    return [_workitem(row) for row in connection.execute(query)]


def _workitem(row: Row[Any]) -> Workitem:
    return Workitem(
        id=row.id,
        sop_instance_uid=row.sop_instance_uid,
        state=ProcedureStepState(row.state),
        transaction_uid=row.transaction_uid,
        attributes=dict(row.attributes),
        is_ours=row.is_ours,
        slide_id=row.slide_id,
        job_key=row.job_key,
        due_at=None if row.due_at is None else utc(row.due_at),
        created_at=utc(row.created_at),
    )
