"""Open the database: SQLite by default, PostgreSQL by one setting."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from vst_dicom.domain.errors import ResourceError, UsageError
from vst_dicom.ledger.tables import metadata

_FROZEN_MS: Final = 30_000
_READS: Final = "vst_dicom_reads"
_MAKING_TABLES: Final = 7_862_001
"""Advisory lock of PostgreSQL: processes that start together make the tables one after another."""


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
        transaction IMMEDIATE, so that two processes never deadlock on an upgrade. PostgreSQL ends the session of a
        host that freezes within a transaction, so that its locks stop nobody else.

    Raises
    ------
    UsageError
        If the address is none, or the program that talks to such a database is not installed.
    ResourceError
        If the database does not answer.
    """
    try:
        address = make_url(url)
        if address.get_backend_name() == "sqlite":
            engine = create_engine(address, pool_pre_ping=True)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        else:
            options = f"-c idle_in_transaction_session_timeout={_FROZEN_MS}"
            engine = create_engine(address, pool_pre_ping=True, connect_args={"options": options})
    except (ArgumentError, ImportError) as error:
        msg = (
            "database_url is not understood; it looks like postgresql+psycopg://user@host/name, "
            "and needs: pip install vst-dicom[postgresql]"
        )
        raise UsageError(msg) from error
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_MAKING_TABLES)))
            metadata.create_all(connection)
    except OperationalError as error:
        shown = address.render_as_string(hide_password=True)
        msg = f"database {shown} does not answer; start it, or correct database_url"
        raise ResourceError(msg) from error
    return engine


def for_reading(engine: Engine) -> Engine:
    """Give the same database for reading only: its transactions wait for no writer, and hold none up."""
    return engine.execution_options(**{_READS: True, "postgresql_readonly": True})


def utc(moment: datetime) -> datetime:
    """Give a time from the database its zone; SQLite forgets it."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy's own BEGIN is sent, not the driver's
    cursor = connection.cursor()
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
