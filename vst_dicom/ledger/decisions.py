"""Rows of `decisions`: what was decided about received objects, when, and why; never changed afterwards."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, insert, select

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
    return [
        Decision(utc(row.at), row.study_instance_uid, row.slide_id, row.job_key, row.what, row.reason)
        for row in reversed(rows)
    ]
