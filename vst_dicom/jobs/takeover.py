"""Take over the work of executors that are dead: no heartbeat for a while, by the database's clock.

A host that was only frozen may come back and go on; what it then wants to write is refused, because its attempt is no
longer the job's last (`vst_dicom.ledger.jobs.holds`).
"""

import time
from collections.abc import Set as AbstractSet
from datetime import timedelta

import structlog
from sqlalchemy import Engine

from vst_dicom.jobs.engine import Claim
from vst_dicom.jobs.engine import Engine as JobEngine
from vst_dicom.ledger.heartbeats import living

_log = structlog.get_logger(__name__)


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
        self._looked_at = time.time()
        self._wait_until = 0.0

    def look(self, active: AbstractSet[str]) -> list[Claim]:
        """Look once; returns what was given back.

        Parameters
        ----------
        active
            Names of the work that this process does. A claim of ours that is not among them twice in a row was
            committed, but never begun.

        Notes
        -----
        After a gap between two looks (the database was away, or this host was asleep) others get the time to beat
        again before they are judged.
        """
        now = time.time()
        gap_s, self._looked_at = now - self._looked_at, now
        if gap_s > self._dead_after.total_seconds() / 2:
            self._wait_until = now + self._dead_after.total_seconds()
        if now < self._wait_until:
            return []
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
