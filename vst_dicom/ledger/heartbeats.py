"""Rows of `heartbeats`: which executor lives, by the database's clock."""

from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from vst_dicom.ledger.database import utc
from vst_dicom.ledger.tables import heartbeats

_FORGET_AFTER: Final = timedelta(days=1)


def beat(connection: Connection, executor_id: str, role: str) -> None:
    """Say that an executor lives."""
    values = {"role": role, "beat_at": func.now()}
    known = connection.execute(update(heartbeats).where(heartbeats.c.executor_id == executor_id).values(values))
    if not known.rowcount:
        connection.execute(insert(heartbeats).values(executor_id=executor_id, **values))


def withdraw(connection: Connection, executor_id: str) -> None:
    """Say that an executor has stopped: what it left, if anything, may be taken over at once."""
    connection.execute(delete(heartbeats).where(heartbeats.c.executor_id == executor_id))


def living(connection: Connection, dead_after: timedelta) -> dict[str, str]:
    """Executors whose last beat is recent, and the role of each; very old ones are forgotten."""
    now = utc(connection.execute(select(func.now())).scalar_one())
    connection.execute(delete(heartbeats).where(heartbeats.c.beat_at < now - _FORGET_AFTER))
    rows = connection.execute(select(heartbeats)).all()
    return {row.executor_id: row.role for row in rows if now - utc(row.beat_at) <= dead_after}
