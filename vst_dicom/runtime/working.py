"""A process that takes work from the engine's queues, and looks after the queues beside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from time import monotonic

import structlog
from sqlalchemy import Engine

from vst_dicom.config import Settings
from vst_dicom.jobs.engine import Engine as JobEngine
from vst_dicom.jobs.failure import where
from vst_dicom.jobs.takeover import Takeover
from vst_dicom.jobs.worker import DeliveryHandler, ProcessHandler, WorkerSettings, running_worker
from vst_dicom.runtime.roles import executor_id

_log = structlog.get_logger(__name__)


@dataclass
class Chore:
    """Something to do again and again.

    Parameters
    ----------
    name
        For the log.
    every_s
        Wait between the end of one time and the start of the next.
    do
        What; it may fail, and is then done again at its next time.
    """

    name: str
    every_s: float
    do: Callable[[], object]
    next_at: float = 0.0


def do_chores(chores: Sequence[Chore], stop: Event, *, tick_s: float) -> None:
    """Do each chore when its time has come, until the event is set; a failure is logged and ends nothing."""
    while not stop.wait(tick_s):
        for chore in chores:
            if monotonic() < chore.next_at or stop.is_set():
                continue
            try:
                chore.do()
            except Exception as error:
                _log.error("chore failed", chore=chore.name, **where(error))
            chore.next_at = monotonic() + chore.every_s


def work(
    settings: Settings,
    database: Engine,
    engine: JobEngine,
    stop: Event,
    *,
    role: str,
    process: ProcessHandler | None = None,
    deliver: DeliveryHandler | None = None,
    chores: Sequence[Chore] = (),
) -> None:
    """Take work until the event is set; take over what the dead left; do chores beside.

    Parameters
    ----------
    settings, database, engine
        What all share.
    stop
        Ends the work.
    role
        Of this process.
    process, deliver
        What to do with jobs and deliveries; None if this process leaves them to others.
    chores
        What else to do.
    """
    executor = executor_id(settings, role)
    worker_settings = WorkerSettings(
        settings.database,
        executor,
        process=process,
        deliver=deliver,
        delivery_slots=max(16, 4 * len(settings.destinations)),
        poll_s=settings.serve.poll_s,
        shutdown_s=settings.serve.shutdown_s,
    )
    takeover = Takeover(database, engine, executor, timedelta(seconds=settings.serve.dead_after_s))
    with running_worker(worker_settings) as worker:
        look = Chore("takeover", settings.serve.beat_s, lambda: takeover.look(worker.active()))
        do_chores([look, *chores], stop, tick_s=min(settings.serve.poll_s, settings.serve.beat_s))
