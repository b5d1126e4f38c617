"""The delivery role: hand due deliveries to the engine's queue, and make the attempts that it gives back."""

from datetime import UTC, datetime
from threading import Event
from typing import Final

from sqlalchemy import Engine

from vst_dicom.config import Settings
from vst_dicom.jobs.engine import Engine as JobEngine
from vst_dicom.jobs.engine import delivery_workflow_id
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.deliveries import list_due_of_each, read_delivery
from vst_dicom.runtime.delivering import deliver_once
from vst_dicom.runtime.working import Chore, work

_MOST_PER_DESTINATION: Final = 200
"""Deliveries of one destination that the engine is told of at once, by priority; the others wait in the ledger."""


def run_delivery(settings: Settings, stop: Event) -> None:
    """Deliver results until the event is set."""
    database = open_database(settings.database)
    with JobEngine(settings.database) as engine:
        due = Chore("deliveries", settings.serve.poll_s, lambda: enqueue_deliveries(database, engine))
        work(
            settings,
            database,
            engine,
            stop,
            role="delivery",
            deliver=lambda delivery_id, attempt: deliver(database, settings, delivery_id, attempt),
            chores=[due],
        )
    database.dispose()


def deliver(database: Engine, settings: Settings, delivery_id: int, attempt: int) -> None:
    """Make an attempt that the engine asks for, unless it was made.

    The engine asks again where an attempt died with its process; the ledger has counted that one already.
    """
    with database.begin() as connection:
        made = read_delivery(connection, delivery_id).attempts
    if made in (attempt, attempt + 1):
        deliver_once(database, settings, delivery_id, datetime.now(UTC))


def enqueue_deliveries(database: Engine, engine: JobEngine) -> int:
    """Tell the engine of due deliveries that it does not know of; returns how many.

    One destination never fills the queue: of each, the most urgent are told. Work that ended without an attempt
    being counted is told again.
    """
    now = datetime.now(UTC)
    n_told = 0
    with database.begin() as connection:
        due = list_due_of_each(connection, now, _MOST_PER_DESTINATION)
    names = {delivery.id: delivery_workflow_id(delivery.id, delivery.attempts) for delivery in due}
    finished = engine.finished(list(names.values()))
    engine.forget(name for name, is_finished in finished.items() if is_finished)
    for delivery in due:
        if finished.get(names[delivery.id], True):
            engine.enqueue_delivery(
                delivery.id, delivery.attempts, destination=delivery.destination, priority=delivery.priority
            )
            n_told += 1
    return n_told
