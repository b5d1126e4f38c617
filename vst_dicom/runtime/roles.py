"""The roles of the server, and how a process plays one: its name, its lock, its heartbeat."""

import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from threading import Event, Thread
from time import monotonic
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from vst_dicom.config import Settings
from vst_dicom.domain.errors import UsageError
from vst_dicom.jobs.slot import held_slot
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.heartbeats import beat, living, withdraw

Role = Callable[[Settings, Event], None]
"""Works until the event is set, then ends within `ServeSettings.shutdown_s`."""

ROLES: Final[Mapping[str, str]] = {
    "receiver": "vst_dicom.runtime.receiving:run_receiving",
    "worker-cpu": "vst_dicom.runtime.housekeeping:run_housekeeping",
    "worker-gpu": "vst_dicom.runtime.processing:run_processing",
    "delivery": "vst_dicom.runtime.delivery:run_delivery",
    "web": "vst_dicom.service.serving:run_web",
}
"""Where each role lies; imported in its own process only, so that the receiver never loads torch."""

_log = structlog.get_logger(__name__)


def find_role(name: str) -> Role:
    """Import a role.

    Raises
    ------
    UsageError
        If there is none of this name.
    """
    if name not in ROLES:
        msg = f"there is no role {name!r}; roles are {', '.join(ROLES)}"
        raise UsageError(msg)
    module, _, function = ROLES[name].partition(":")
    role: Role = getattr(import_module(module), function)
    return role


def executor_id(settings: Settings, role: str) -> str:
    """Name of a process among all that share the database."""
    return f"{host_name(settings)}:{role}:{settings.serve.slot}"


def host_name(settings: Settings) -> str:
    """Name of this machine."""
    return settings.serve.host or socket.gethostname()


def run_role(name: str, settings: Settings, *, role: Role | None = None) -> None:
    """Play a role until SIGTERM or SIGINT comes, or the process that started this one is gone.

    Parameters
    ----------
    name
        Of the role.
    settings
        Of the whole server, with the slot of this process.
    role
        What to do; found by name if None.

    Raises
    ------
    UsageError
        If there is no such role, or another process holds the slot.
    """
    play = role or find_role(name)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = open_database(settings.database)
    folder = settings.data_dir / "locks"
    executor = executor_id(settings, name)
    with held_slot(folder, executor), _beating(database, settings, executor, name, stop):
        _log.info("role started", executor=executor)
        play(settings, stop)
    _log.info("role stopped", executor=executor)
    database.dispose()


@contextmanager
def _beating(database: Engine, settings: Settings, executor: str, role: str, stop: Event) -> Iterator[None]:
    """Beat once before anything else, then in a thread; the role stops when its parent is gone."""
    parent, done = os.getppid(), Event()
    with database.begin() as connection:
        beat(connection, executor, role)

    def loop() -> None:
        next_beat = monotonic() + settings.serve.beat_s
        while not done.wait(min(1.0, settings.serve.beat_s)):
            if os.getppid() != parent:
                stop.set()
            if monotonic() < next_beat:
                continue
            next_beat = monotonic() + settings.serve.beat_s
            try:
                with database.begin() as connection:
                    beat(connection, executor, role)
            except SQLAlchemyError as error:
                _log.warning("no heartbeat: the database does not answer", error=type(error).__name__)

    thread = Thread(target=loop, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=settings.serve.beat_s + 5)
    with database.begin() as connection:
        withdraw(connection, executor)


def living_roles(database: Engine, settings: Settings) -> frozenset[str]:
    """Executors of all machines that beat recently."""
    with database.begin() as connection:
        return frozenset(living(connection, timedelta(seconds=settings.serve.dead_after_s)))
