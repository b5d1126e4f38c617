"""Rows of `decisions`: what was decided about received objects, when, and why; never changed afterwards."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, or_, select

from vst_dicom.ledger.database import utc
from vst_dicom.ledger.tables import decisions

_REASON_LENGTH: Final = 500
"""Of the column; longer reasons are cut."""


class What(StrEnum):
    """Kinds of decisions."""

    QUEUED = "queued"
    """A job was made."""

    HELD = "held"
    IGNORED = "ignored"

    INCOMPLETE = "incomplete"
    """The quiet time passed, but something is missing."""

    DUPLICATE = "duplicate"
    """The content came before; its job stands."""

    OWN = "own result came back"
    NOT_A_SLIDE = "not a slide"

    ASKED = "asked"
    """A person asked for something."""

    ALERT = "alert"
    """Somebody should look: an instance changed, or cannot be read."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One row.

    Parameters
    ----------
    at
        When, UTC.
    study_instance_uid
        Of which study.
    slide_id, job_key
        What it led to, where there is one.
    what
        Usually one of `What`.
    reason
        Why, for people; never holds a patient's name, birth date or identifier.
    """

    at: datetime
    study_instance_uid: str
    slide_id: int | None
    job_key: str | None
    what: str
    reason: str


def record_decision(
    connection: Connection,
    *,
    at: datetime,
    study_instance_uid: str,
    what: str,
    reason: str,
    slide_id: int | None = None,
    job_key: str | None = None,
) -> None:
    """Write down a decision in the transaction that carries it out."""
    row = {
        "at": at,
        "study_instance_uid": study_instance_uid,
        "slide_id": slide_id,
        "job_key": job_key,
        "what": str(what),
        "reason": reason[:_REASON_LENGTH],
    }
    connection.execute(insert(decisions).values(row))


def list_decisions(connection: Connection, study_instance_uid: str, *, limit: int = 200) -> list[Decision]:
    """Read the newest decisions about a study, the oldest of them first."""
    rows = connection.execute(
        select(decisions)
        .where(decisions.c.study_instance_uid == study_instance_uid)
        .order_by(decisions.c.id.desc())
        .limit(limit)
    ).all()
    return [_decision(row) for row in reversed(rows)]


def find_decisions(
    connection: Connection,
    *,
    study_instance_uid: str = "",
    slide_id: int | None = None,
    what: str = "",
    limit: int,
    offset: int = 0,
) -> tuple[list[Decision], int]:
    """Read a page of decisions, the newest first, and how many there are on all pages.

    Parameters
    ----------
    connection
        To the ledger.
    study_instance_uid
        Of this study only; of all if empty.
    slide_id
        About this slide, or about no slide of the study in particular; about all if None.
    what
        Of this kind only; of all if empty.
    limit, offset
        Which page.
    """
    wanted = []
    if study_instance_uid:
        wanted.append(decisions.c.study_instance_uid == study_instance_uid)
    if slide_id is not None:
        wanted.append(or_(decisions.c.slide_id == slide_id, decisions.c.slide_id.is_(None)))
    if what:
        wanted.append(decisions.c.what == what)
    total = connection.execute(select(func.count()).select_from(decisions).where(*wanted)).scalar_one()
    query = select(decisions).where(*wanted).order_by(decisions.c.id.desc()).limit(limit).offset(offset)
    return [_decision(row) for row in connection.execute(query)], total


def _decision(row: Row[Any]) -> Decision:
    return Decision(utc(row.at), row.study_instance_uid, row.slide_id, row.job_key, row.what, row.reason)
