"""Take over the work of executors that are dead: no heartbeat for a while, by the database's clock.

A host that was only frozen may come back and go on; what it then wants to write is refused, because its attempt is no
longer the job's last (`vst_dicom.ledger.jobs.holds`).
"""

from collections.abc import Set as AbstractSet
from datetime import timedelta

import structlog
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from vst_dicom.jobs.engine import Claim
from vst_dicom.jobs.engine import Engine as JobEngine
from vst_dicom.ledger.database import utc
from vst_dicom.ledger.tables import heartbeats

_log = structlog.get_logger(__name__)

_FORGET_AFTER = timedelta(days=1)


def beat(connection: Connection, executor_id: str, role: str) -> None:
    """Say that an executor lives, at the time of the database's clock."""
    values = {"role": role, "beat_at": func.now()}
    known = connection.execute(update(heartbeats).where(heartbeats.c.executor_id == executor_id).values(values))
    if not known.rowcount:
        connection.execute(insert(heartbeats).values(executor_id=executor_id, **values))


def living(connection: Connection, dead_after: timedelta) -> dict[str, str]:
    """Executors whose last beat is recent, and the role of each; very old ones are forgotten."""
    now = utc(connection.execute(select(func.now())).scalar_one())
    connection.execute(delete(heartbeats).where(heartbeats.c.beat_at < now - _FORGET_AFTER))
    rows = connection.execute(select(heartbeats)).all()
    return {row.executor_id: row.role for row in rows if now - utc(row.beat_at) <= dead_after}


class Takeover:
    """Gives back to their queues the claims of the dead, and claims of our own that were never begun.

    Parameters
    ----------
    database, engine
        Ledger and engine.
    executor_id
        Our own name.
    dead_after
        Silence after which an executor counts as dead.
    """

    def __init__(self, database: Engine, engine: JobEngine, executor_id: str, dead_after: timedelta) -> None:
        self._database = database
        self._engine = engine
        self._executor_id = executor_id
        self._dead_after = dead_after
        self._suspects: frozenset[Claim] = frozenset()

    def look(self, active: AbstractSet[str]) -> list[Claim]:
        """Look once; returns what was given back.

        Parameters
        ----------
        active
            Names of the work that this process does. A claim of ours that is not among them twice in a row was
            committed, but never begun.
        """
        claims = self._engine.claims()
        with self._database.begin() as connection:
            alive = living(connection, self._dead_after)
        mine = frozenset(
            claim for claim in claims if claim.executor_id == self._executor_id and claim.workflow_id not in active
        )
        dead = [claim for claim in claims if claim.executor_id not in alive and claim.executor_id != self._executor_id]
        released = [claim for claim in [*dead, *(mine & self._suspects)] if self._engine.release(claim)]
        self._suspects = mine
        for claim in released:
            _log.warning("work taken over", workflow=claim.workflow_id, executor=claim.executor_id)
        return released
