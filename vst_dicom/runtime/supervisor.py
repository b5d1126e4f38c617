"""Start every role as a process of its own, start again what ends, stop all together."""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Final

import structlog

from vst_dicom.config import Settings
from vst_dicom.ledger.database import open_database
from vst_dicom.runtime.roles import ROLES, host_name, living_roles

_log = structlog.get_logger(__name__)

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0
_CALM_S: Final = 60.0
"""A process that lived so long starts again at once, and its next waits are short again."""

_KILL_MARGIN_S: Final = 10.0
"""How much longer than its own deadline a process may take to stop before it is killed."""

Command = Callable[[str, int], Sequence[str]]
"""Gives the command line of a role and slot."""


@dataclass
class _Child:
    role: str
    slot: int
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    start_at: float = 0.0
    wait_s: float = field(default=_FIRST_WAIT_S)


class Supervisor:
    """Runs the processes of one machine.

    Parameters
    ----------
    processes
        How many of each role.
    command
        How to start one.
    shutdown_s
        How long processes may take to stop before they are killed.
    """

    def __init__(self, processes: Mapping[str, int], command: Command, *, shutdown_s: float) -> None:
        self._children = [_Child(role, slot) for role, count in processes.items() for slot in range(count)]
        self._command = command
        self._shutdown_s = shutdown_s

    @property
    def pids(self) -> dict[tuple[str, int], int]:
        """Process ids of what runs, by role and slot."""
        running = [child for child in self._children if child.process is not None and child.process.poll() is None]
        return {(child.role, child.slot): child.process.pid for child in running if child.process is not None}

    def run(self, stop: Event, *, tick_s: float = 0.2, ready: Callable[[], bool] | None = None) -> None:
        """Keep all processes running until the event is set, then stop them.

        Parameters
        ----------
        stop
            Ends everything.
        tick_s
            How often to look.
        ready
            Asked once a second until it says that everything works.
        """
        ask_at = 0.0
        try:
            while not stop.is_set():
                for child in self._children:
                    self._look_after(child)
                if ready is not None and monotonic() >= ask_at:
                    ask_at = monotonic() + 1.0
                    if ready():
                        _log.info("ready")
                        ready = None
                stop.wait(tick_s)
        finally:
            self._stop_all()

    def _look_after(self, child: _Child) -> None:
        now = monotonic()
        if child.process is not None:
            code = child.process.poll()
            if code is None:
                return
            if now - child.started_at >= _CALM_S:
                child.wait_s = _FIRST_WAIT_S
            _log.error("process ended, will start again", **_named(child), code=code, wait_s=child.wait_s)
            child.process, child.start_at = None, now + child.wait_s
            child.wait_s = min(child.wait_s * 2, _LONGEST_WAIT_S)
        if now >= child.start_at:
            command = [*self._command(child.role, child.slot)]
            child.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own program
            child.started_at = now
            _log.info("process started", **_named(child), pid=child.process.pid)

    def _stop_all(self) -> None:
        running = [child for child in self._children if child.process is not None and child.process.poll() is None]
        for child in running:
            if child.process is not None:
                child.process.send_signal(signal.SIGTERM)
        deadline = monotonic() + self._shutdown_s
        for child in running:
            if child.process is None:
                continue
            try:
                child.process.wait(timeout=max(0.0, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("process did not stop in time and is killed", **_named(child))
                child.process.kill()
                child.process.wait(timeout=10)
        _log.info("all processes stopped")


def supervise(settings: Settings, config: Path | None, *, roles: Sequence[str] = ()) -> None:
    """Run the server on this machine until SIGTERM or SIGINT comes.

    Parameters
    ----------
    settings
        Of the whole server.
    config
        The file that they came from; every process reads it again.
    roles
        Which to run; all if none.
    """
    processes = dict.fromkeys(roles or ROLES, 1)
    if "worker-gpu" in processes:
        processes["worker-gpu"] = settings.serve.predict_workers
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = open_database(settings.database)  # makes the tables before the processes race to

    def command(role: str, slot: int) -> list[str]:
        options = ["--role", role, "--slot", str(slot), *(["--config", str(config)] if config else [])]
        return [sys.executable, "-m", "vst_dicom", "serve", *options]

    expected = {f"{host_name(settings)}:{role}:{slot}" for role, count in processes.items() for slot in range(count)}
    supervisor = Supervisor(processes, command, shutdown_s=settings.serve.shutdown_s + _KILL_MARGIN_S)
    supervisor.run(stop, ready=lambda: expected <= living_roles(database, settings))
    database.dispose()


def _named(child: _Child) -> dict[str, str | int]:
    return {"process_role": child.role, "slot": child.slot}
