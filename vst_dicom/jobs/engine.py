"""The seam to dbos: its database, and a client that enqueues, asks and tidies up; nothing else of dbos is seen outside.

The ledger decides what is to be done and who may write; the engine only wakes the right worker at the right time,
again and again until the work is done. What the engine loses is enqueued anew from the ledger.

dbos 3.4 is pinned: `release` and the SQLite set-up use names that it does not promise (`tests/jobs/test_engine.py`
holds them).
"""

import logging
import sqlite3
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from dbos import DBOSClient
from dbos import _serialization as dbos_serialization
from dbos._sys_db import SystemDatabase
from sqlalchemy import Engine as Database
from sqlalchemy import create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

APPLICATION: Final = "vst-dicom"
APPLICATION_VERSION: Final = "1"
"""Constant: dbos gives work of another version to nobody. A workflow whose steps change gets another name instead."""

PROCESS_QUEUE: Final = "process"
DELIVERY_QUEUE: Final = "delivery"
PROCESS_WORKFLOW: Final = "process_v1"
DELIVERY_WORKFLOW: Final = "deliver_v1"

SERIALIZER: Final = dbos_serialization.DBOSPortableJSON
"""Keys and numbers as JSON; dbos' own default is pickle."""

_FINISHED: Final = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
_BATCH: Final = 1000
_LOWEST_PRIORITY: Final = 2**31 - 1

logging.getLogger("dbos").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Claim:
    """Work that an executor has begun and not finished.

    Parameters
    ----------
    workflow_id
        Name of the work.
    executor_id
        Who began it.
    """

    workflow_id: str
    executor_id: str


class Engine:
    """Client of the engine; safe to use from several threads and processes.

    Parameters
    ----------
    ledger_url
        Address of the ledger's database, from which that of the engine follows; see `engine_url`.
    """

    def __init__(self, ledger_url: str) -> None:
        self._database = prepare_database(engine_url(ledger_url))
        self._client = DBOSClient(
            system_database_engine=self._database,
            serializer=SERIALIZER,
            application_name=APPLICATION,
            retry_connection_errors=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._client.destroy()
        self._database.dispose()

    def enqueue_process(self, key: str, round_: int, *, priority: int, delay_s: float = 0.0) -> None:
        """Have a job's round worked on; a second call of the same round does nothing."""
        self._enqueue(
            PROCESS_WORKFLOW, PROCESS_QUEUE, process_id(key, round_), (key, round_), priority=priority, delay_s=delay_s
        )

    def enqueue_delivery(self, delivery_id: int, attempt: int, *, destination: str, priority: int) -> None:
        """Have one attempt at a delivery made; a second call of the same attempt does nothing.

        Each destination is a partition of the queue, so that one that hangs delays no other.
        """
        self._enqueue(
            DELIVERY_WORKFLOW,
            DELIVERY_QUEUE,
            delivery_workflow_id(delivery_id, attempt),
            (delivery_id, attempt),
            priority=priority,
            partition=destination,
        )

    def finished(self, workflow_ids: Sequence[str]) -> dict[str, bool]:
        """Say of each that the engine knows whether it has done with it, whatever became of it."""
        if not workflow_ids:
            return {}
        found = self._client.list_workflows(workflow_ids=[*workflow_ids], load_input=False, load_output=False)
        return {status.workflow_id: status.status in _FINISHED for status in found}

    def claims(self) -> list[Claim]:
        """All work that somebody has begun and not finished, dead or alive."""
        found = self._client.list_workflows(
            status="PENDING", app_version=APPLICATION_VERSION, load_input=False, load_output=False
        )
        return [Claim(status.workflow_id, status.executor_id or "") for status in found]

    def release(self, claim: Claim) -> bool:
        """Put work back into its queue, if the same executor still has it."""
        return self._client._sys_db.reenqueue_for_recovery(claim.workflow_id, [claim.executor_id], PROCESS_QUEUE)

    def forget(self, workflow_ids: Iterable[str]) -> None:
        """Delete what is known of finished work, so that its name can be used again."""
        if names := [*workflow_ids]:
            self._client.delete_workflows(names)

    def forget_finished(self, before: datetime) -> int:
        """Delete what is known of work that was enqueued before and is finished; returns how much."""
        n_forgotten = 0
        while True:
            found = self._client.list_workflows(
                status=[*_FINISHED], end_time=before.isoformat(), limit=_BATCH, load_input=False, load_output=False
            )
            self.forget(status.workflow_id for status in found)
            n_forgotten += len(found)
            if len(found) < _BATCH:
                return n_forgotten

    def _enqueue(
        self,
        workflow: str,
        queue: str,
        workflow_id: str,
        arguments: tuple[str | int, ...],
        *,
        priority: int,
        delay_s: float = 0.0,
        partition: str | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "workflow_name": workflow,
            "queue_name": queue,
            "workflow_id": workflow_id,
            "app_version": APPLICATION_VERSION,
            "priority": min(max(priority, 1), _LOWEST_PRIORITY),
        }
        if delay_s > 0:
            options["delay_seconds"] = delay_s
        if partition is not None:
            options["queue_partition_key"] = partition
        self._client.enqueue(options, *arguments)  # type: ignore[arg-type]


def process_id(key: str, round_: int) -> str:
    """Name the engine's work for one round of a job."""
    return f"process/{key}/{round_}"


def delivery_workflow_id(delivery_id: int, attempt: int) -> str:
    """Name the engine's work for one attempt at a delivery."""
    return f"deliver/{delivery_id}/{attempt}"


def engine_url(ledger_url: str) -> str:
    """Address of the engine's database: PostgreSQL shares the ledger's; SQLite has a file of its own beside it.

    Two SQLite files, because each has one writer at a time: the engine's polling must not delay the commit that
    a sender waits for.
    """
    url = make_url(ledger_url)
    if url.get_backend_name() != "sqlite":
        return ledger_url
    name = url.database or "vst.sqlite"
    stem = name.removesuffix(".sqlite")
    return url.set(database=f"{stem}-engine.sqlite").render_as_string(hide_password=False)


def prepare_database(url: str) -> Database:
    """Open the engine's database and bring its tables up to date."""
    if url.startswith("sqlite"):
        database = create_engine(url)
        event.listen(database, "connect", _prepare_sqlite)
    else:
        database = create_engine(url, pool_size=10, max_overflow=5, pool_pre_ping=True, pool_timeout=30)
    system = SystemDatabase.create(
        system_database_url=url,
        engine_kwargs={},
        engine=database,
        schema="dbos",
        serializer=SERIALIZER,
        executor_id=None,
    )
    system.run_migrations()
    return database


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    """Write ahead and synchronize fully (its default is a rollback journal), and teach old SQLite milliseconds."""
    connection.isolation_level = "IMMEDIATE"
    cursor = connection.cursor()
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    if sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < (3, 42):
        # dbos asks for unixepoch('subsec') there, which SQLite has from 3.42
        connection.create_function("unixepoch", -1, lambda *_: time.time(), deterministic=False)
