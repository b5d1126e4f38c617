"""Open the database: SQLite by default, PostgreSQL by one setting."""

from datetime import UTC, datetime

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from vst_dicom.ledger.tables import metadata


def open_database(url: str) -> Engine:
    """Open the database and make missing tables.

    Parameters
    ----------
    url
        Such as ``sqlite:///data/vst.sqlite`` or ``postgresql+psycopg://user@host/name``.

    Returns
    -------
    Engine
        SQLite writes ahead (WAL) with full synchronization, waits up to 30 s for a lock, and begins every
        transaction IMMEDIATE, so that two processes never deadlock on an upgrade.
    """
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    metadata.create_all(engine)
    return engine


def utc(moment: datetime) -> datetime:
    """Give a time from the database its zone; SQLite forgets it."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy's own BEGIN is sent, not the driver's
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
