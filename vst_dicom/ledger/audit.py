"""Rows of `audit`: who asked for what by HTTP, and how it ended; only added, never a patient's name."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from vst_dicom.ledger.database import utc
from vst_dicom.ledger.tables import audit, jobs, slides


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row.

    Parameters
    ----------
    at
        When, UTC.
    who, role, address
        Person or machine, as what it was admitted, and from where.
    method, route
        What was asked for, as the route is declared.
    study_instance_uid, target
        About what; `target` is a UID, a key or a number of a slide.
    status
        How it ended, HTTP.
    """

    at: datetime
    who: str
    role: str
    address: str
    method: str
    route: str
    study_instance_uid: str
    target: str
    status: int


def record_audit(connection: Connection, entry: AuditEntry) -> None:
    """Write a row; the study of a slide or job is looked up."""
    study = entry.study_instance_uid or _study_of(connection, entry.target)
    values = {name: getattr(entry, name) for name in AuditEntry.__slots__}
    connection.execute(insert(audit).values(values | {"study_instance_uid": study}))


def list_audit(
    connection: Connection, *, study_instance_uid: str = "", who: str = "", limit: int, offset: int = 0
) -> tuple[list[AuditEntry], int]:
    """Read a page, the newest first, and how many rows there are on all pages."""
    wanted = []
    if study_instance_uid:
        wanted.append(audit.c.study_instance_uid == study_instance_uid)
    if who:
        wanted.append(audit.c.who == who)
    total = connection.execute(select(func.count()).select_from(audit).where(*wanted)).scalar_one()
    columns = [audit.c[name] for name in AuditEntry.__slots__]
    query = select(*columns).where(*wanted).order_by(audit.c.id.desc()).limit(limit).offset(offset)
    rows = connection.execute(query)
    return [AuditEntry(**row._asdict() | {"at": utc(row.at)}) for row in rows], total


def _study_of(connection: Connection, target: str) -> str:
    """Study of a slide by its number, or of a job by its key."""
    query = select(slides.c.study_instance_uid)
    if target.isdecimal() and len(target) < 10:
        query = query.where(slides.c.id == int(target))
    elif len(target) == 64:
        query = query.join(jobs, jobs.c.slide_id == slides.c.id).where(jobs.c.key == target)
    else:
        return ""
    return connection.execute(query).scalar_one_or_none() or ""
