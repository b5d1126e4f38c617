"""The role that looks after what is not urgent: group what arrived, create jobs, enqueue, tidy up."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event
from typing import Final

from sqlalchemy import Engine

from vst_dicom.config import Settings
from vst_dicom.jobs.engine import Engine as JobEngine
from vst_dicom.jobs.outbox import enqueue_due, enqueue_lost, sweep_work_folders
from vst_dicom.jobs.results import ResultStore
from vst_dicom.ledger.database import open_database
from vst_dicom.runtime.coordinator import Coordinator
from vst_dicom.runtime.performing import Performer
from vst_dicom.runtime.retention import remove_work_copies
from vst_dicom.runtime.working import Chore, do_chores

_TIDY_EVERY_S: Final = 30.0
_FORGET_EVERY_S: Final = 600.0

MakeCoordinator = Callable[[Engine, Settings], Coordinator]


def run_housekeeping(settings: Settings, stop: Event, *, make_coordinator: MakeCoordinator = Coordinator) -> None:
    """Do what is to be done again and again, until the event is set. Any number may run at once.

    Parameters
    ----------
    settings, stop
        As for every role.
    make_coordinator
        Makes what decides about slides.
    """
    database = open_database(settings.database)
    store = ResultStore(settings.results)
    coordinator = make_coordinator(database, settings)
    performer = Performer(database, settings)
    with JobEngine(settings.database) as engine:

        def forget() -> int:
            return engine.forget_finished(datetime.now(UTC) - settings.serve.keep_finished)

        often = settings.serve.poll_s
        chores = [
            Chore("coordinate", often, lambda: coordinator.coordinate(datetime.now(UTC))),
            Chore("work items", often, lambda: performer.perform(datetime.now(UTC))),
            Chore("enqueue", often, lambda: enqueue_due(database, engine)),
            Chore("enqueue lost", _TIDY_EVERY_S, lambda: enqueue_lost(database, engine)),
            Chore("sweep", _TIDY_EVERY_S, lambda: sweep_work_folders(database, store)),
            Chore("remove copies", _FORGET_EVERY_S, lambda: remove_work_copies(database, settings, datetime.now(UTC))),
            Chore("forget", _FORGET_EVERY_S, forget),
            Chore("forget events", _FORGET_EVERY_S, lambda: performer.forget(datetime.now(UTC))),
        ]
        do_chores(chores, stop, tick_s=often)
    database.dispose()
