"""The working side of the engine: take work from a queue and hand it to a plain function."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from dbos import DBOS
from dbos._dbos import _get_dbos_instance

from vst_dicom.jobs.engine import (
    APPLICATION,
    APPLICATION_VERSION,
    DELIVERY_QUEUE,
    DELIVERY_WORKFLOW,
    PROCESS_QUEUE,
    PROCESS_WORKFLOW,
    SERIALIZER,
    engine_url,
    prepare_database,
)
from vst_dicom.jobs.failure import where

_log = structlog.get_logger(__name__)

ProcessHandler = Callable[[str, int], None]
"""Given a job's key and round; returns when the ledger says what became of them, and raises only if it cannot know."""

DeliveryHandler = Callable[[int, int], None]
"""Given a delivery's id and attempt; the same."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a process works.

    Parameters
    ----------
    ledger_url
        Address of the ledger's database; the engine's follows from it.
    executor_id
        Name of this process among all, held by a lock; work that it left behind is given back to it.
    process, process_slots
        What to do with jobs, and how many at once; None if this process leaves them to others.
    deliver, delivery_slots, slots_per_destination
        The same for deliveries; one destination never takes all slots.
    poll_s
        How often queues are looked at.
    shutdown_s
        How long work in progress may take to notice that the process stops.
    """

    ledger_url: str
    executor_id: str
    process: ProcessHandler | None = None
    process_slots: int = 1
    deliver: DeliveryHandler | None = None
    delivery_slots: int = 16
    slots_per_destination: int = 2
    poll_s: float = 0.5
    shutdown_s: int = 20


class Worker:
    """A working process; see `running_worker`."""

    def active(self) -> frozenset[str]:
        """Names of the work that this process does at the moment."""
        return frozenset(_get_dbos_instance()._active_workflows_set.activeList())


@contextmanager
def running_worker(settings: WorkerSettings) -> Iterator[Worker]:
    """Work until the block ends; there is one worker in a process.

    Work that the same executor left unfinished begins again at once. When the block ends, nothing more is begun, and
    what is in progress has `shutdown_s` to end; what has not by then is begun again by somebody else.
    """
    database = prepare_database(engine_url(settings.ledger_url))
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_engine": database,
            "application_version": APPLICATION_VERSION,
            "executor_id": settings.executor_id,
            "serializer": SERIALIZER,
            "run_migrations": False,
            "log_level": "WARNING",
            "enable_otlp": False,
            "scheduler_polling_interval_sec": 3600.0,
        }
    )
    _register(PROCESS_WORKFLOW, settings.process)
    _register(DELIVERY_WORKFLOW, settings.deliver)
    queues = {PROCESS_QUEUE: settings.process, DELIVERY_QUEUE: settings.deliver}
    DBOS.listen_queues([name for name, handler in queues.items() if handler is not None])
    DBOS.launch()
    try:
        DBOS.register_queue(
            PROCESS_QUEUE, worker_concurrency=settings.process_slots, polling_interval_sec=settings.poll_s
        )
        DBOS.register_queue(
            DELIVERY_QUEUE,
            worker_concurrency=settings.delivery_slots,
            partition_worker_concurrency=settings.slots_per_destination,
            polling_interval_sec=settings.poll_s,
        )
        yield Worker()
    finally:
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=settings.shutdown_s)
        database.dispose()


def _register(name: str, handler: Callable[..., None] | None) -> None:
    """Make a handler known to the engine under a name that never changes.

    The engine counts no attempts (the ledger does), and never sees an exception: its record of one might quote a
    header, and work that ended in one is not begun again. The ledger's `enqueue_lost` begins it again.
    """
    if handler is None:
        return

    def work(*arguments: str | int) -> None:
        try:
            handler(*arguments)
        except Exception as error:  # the last boundary of a worker thread
            _log.error("work failed unexpectedly", workflow=name, subject=arguments[0], **where(error))

    DBOS.workflow(name=name, max_recovery_attempts=None)(work)
