"""The whole server for a test: its processes under their supervisor, and what tests ask of its ledger."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from pydicom import dcmread
from sqlalchemy import Engine, Row, Table, select

from tests.peers.certificates import Certificate
from vst_dicom.config import Settings, read_settings
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.states import JobState
from vst_dicom.ledger.tables import decisions, deliveries, jobs, result_instances, slides
from vst_dicom.runtime.orthanc import free_ports
from vst_dicom.runtime.roles import ROLES, living_roles
from vst_dicom.runtime.supervisor import Supervisor

AE_TITLE = "VST_DICOM"
RESULT_OBJECTS = 5
"""Parametric Map, two Segmentations, annotations and report."""

_START_S = 90.0
_SETTINGS = """
data_dir = {data}
[dicom]
ae_title = "VST_DICOM"
port = {port}
{tls}
[storage]
reserve_bytes = 0
reserve_fraction = 0
[study]
quiet_s = 1
rules = {rules}
[web]
port = 0
[serve]
poll_s = 0.2
beat_s = 0.5
dead_after_s = 5
shutdown_s = 5
[delivery]
first_retry_s = 1
longest_retry_s = 4
"""


@dataclass(frozen=True)
class To:
    """A destination, and the AE titles whose slides go there.

    Parameters
    ----------
    ae_title, port
        Of the peer, on this machine.
    senders
        Calling AE titles, each with the priority of its slides.
    tls
        What this server shows to the peer.
    """

    ae_title: str
    port: int
    senders: Mapping[str, str]
    tls: Certificate | None = None


class Server:
    """A running server.

    Parameters
    ----------
    folder
        Where it keeps everything.
    port
        Where it listens.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.config = folder / "vst-dicom.toml"
        self.settings: Settings = read_settings(self.config)
        self.log = folder / "server.log"
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self.database: Engine = open_database(self.settings.database)
        self._supervisor = Supervisor(dict.fromkeys(ROLES, 1), self._command, shutdown_s=15)

    def _command(self, role: str, _slot: int) -> list[str]:
        line = f"exec {sys.executable} -m tests.gateway.role {role} {self.config} >>{self.log} 2>&1"
        return ["/bin/sh", "-c", line]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run all processes until the block ends."""
        stop = Event()
        thread = Thread(target=self._supervisor.run, args=(stop,), kwargs={"tick_s": 0.05})
        thread.start()
        try:
            self.wait(self.is_ready, "all processes to live", seconds=_START_S)
            yield
        finally:
            stop.set()
            thread.join(60)
            self.database.dispose()

    def is_ready(self) -> bool:
        """Whether every process lives."""
        playing = {executor.split(":")[1] for executor in living_roles(self.database, self.settings)}
        return set(ROLES) <= playing

    def kill(self, role: str) -> None:
        """End the process of a role without warning; it starts again."""
        os.kill(self._supervisor.pids[role, 0], signal.SIGKILL)

    def wait(self, is_true: Callable[[], object], what: str, *, seconds: float = 60.0) -> None:
        """Wait until something is true; a test that waits in vain shows what the server said last."""
        deadline = time.monotonic() + seconds
        while not is_true():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds:g} s for {what}; the server's log ends with\n{self.log_tail()}")
            time.sleep(0.1)

    def log_tail(self, n_lines: int = 40) -> str:
        """What the server said last."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-n_lines:])

    def jobs(self, study: str) -> list[Row[Any]]:
        """Jobs of a study, the first first."""
        mine = select(jobs, slides.c.study_instance_uid).join(slides, slides.c.id == jobs.c.slide_id)
        return self._rows(mine.where(slides.c.study_instance_uid == study).order_by(jobs.c.created_at))

    def decisions(self, study: str, what: str) -> list[str]:
        """Reasons of the decisions of one kind about a study."""
        mine = self._of_study(decisions, study)
        return [row.reason for row in mine if row.what == what]

    def results(self, study: str) -> list[Row[Any]]:
        """DICOM objects of all results of a study."""
        return self._of_study(result_instances, study)

    def deliveries(self, study: str) -> list[Row[Any]]:
        """Deliveries of all results of a study."""
        keys = [job.key for job in self.jobs(study)]
        return self._rows(select(deliveries).where(deliveries.c.job_key.in_(keys)).order_by(deliveries.c.id))

    def count_log(self, message: str, **facts: object) -> int:
        """How often the server logged something."""
        lines = (line for line in self.log.read_text(errors="replace").splitlines() if line.startswith("{"))
        found = (json.loads(line) for line in lines if message in line)
        return sum(entry.get("event") == message and facts.items() <= entry.items() for entry in found)

    def wait_until_done(self, study: str, n_jobs: int = 1, *, seconds: float = 90.0) -> None:
        """Wait until a study has so many jobs, and all are done."""

        def is_done() -> bool:
            states = [job.state for job in self.jobs(study)]
            return len(states) >= n_jobs and set(states) == {JobState.DONE}

        self.wait(is_done, f"{n_jobs} finished jobs of study {study}", seconds=seconds)

    def wait_until_delivered(self, study: str, n_jobs: int = 1, *, seconds: float = 90.0) -> None:
        """Wait until a study has so many finished jobs, and all of their results are at their destinations."""
        self.wait_until_done(study, n_jobs, seconds=seconds)

        def is_sent() -> bool:
            states = [delivery.state for delivery in self.deliveries(study)]
            return len(states) >= n_jobs and set(states) <= {"sent", "committed"}

        self.wait(is_sent, f"{n_jobs} delivered results of study {study}", seconds=seconds)

    def wait_until_quiet(self, *, seconds: float = 30.0) -> None:
        """Wait until every slide has been looked at since its last instance came."""
        due = select(slides.c.id).where(slides.c.due_at.is_not(None))
        self.wait(lambda: not self._rows(due), "all slides to be decided", seconds=seconds)

    def _of_study(self, table: Table, study: str) -> list[Row[Any]]:
        return self._rows(select(table).where(table.c.study_instance_uid == study))

    def _rows(self, query: Any) -> list[Row[Any]]:
        with self.database.begin() as connection:
            return list(connection.execute(query).all())


@contextmanager
def running_server(
    folder: Path,
    destinations: Sequence[To],
    *,
    port: int = 0,
    tls: Certificate | None = None,
    overlay_gene: str = "",
) -> Iterator[Server]:
    """Run the server; every sender's slides go to the destination that names it.

    Parameters
    ----------
    folder
        Where it keeps everything.
    destinations
        To whom results go.
    port
        Where it listens; a free one if 0.
    tls
        What it shows to peers, which must show theirs then.
    overlay_gene
        Gene that it paints over slides.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = port or free_ports(1)[0]
    rules = folder / "rules.toml"
    rules.write_text("".join(_rule(f"to{number}", to) for number, to in enumerate(destinations)))
    text = _SETTINGS.format(
        data=json.dumps(str(folder / "data")),
        port=chosen,
        rules=json.dumps(str(rules)),
        tls=f"tls = {_tls(tls)}" if tls else "",
    )
    text += f'[encode]\ncolor_overlay_gene = "{overlay_gene}"\n'
    text += "".join(_destination(f"to{number}", to) for number, to in enumerate(destinations))
    (folder / "vst-dicom.toml").write_text(text)
    server = Server(folder, chosen)
    with server.running():
        yield server


def _rule(name: str, to: To) -> str:
    return "".join(
        f'[[rule]]\nname = "{name} from {sender}"\nwhen = {{ CallingAE = "{sender}" }}\nthen = "process"\n'
        f'bundle = "brightness"\ngenes = ["G"]\ndestinations = ["{name}"]\npriority = "{priority}"\n'
        for sender, priority in to.senders.items()
    )


def _destination(name: str, to: To) -> str:
    lines = [
        f"[destinations.{name}]",
        f'ae_title = "{to.ae_title}"',
        'host = "127.0.0.1"',
        f"port = {to.port}",
        "timeout_s = 15",
        f"tls = {_tls(to.tls)}" if to.tls else "",
    ]
    return "\n".join(lines) + "\n"


def _tls(certificate: Certificate) -> str:
    files = (certificate.certificate, certificate.key, certificate.authority)
    return '{{ certificate = "{}", private_key = "{}", authorities = "{}" }}'.format(*files)


def study_of(path: Path) -> str:
    """Study Instance UID of a file."""
    return str(dcmread(path, specific_tags=["StudyInstanceUID"], stop_before_pixels=True).StudyInstanceUID)


def received(folder_files: Sequence[Path], study: str) -> list[Any]:
    """Headers of the files of a study that a peer stored."""
    headers = [dcmread(path, stop_before_pixels=True, force=True) for path in folder_files]
    return [header for header in headers if header.get("StudyInstanceUID") == study]
