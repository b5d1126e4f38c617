"""Kill processes of a working server at random, and count afterwards.

Run it as a program for more than the tests do::

    python -m tests.chaos.harness --studies 30 --kills 30 --seed 1
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from pynetdicom.dsutils import split_dataset
from sqlalchemy import Engine, select

from tests.chaos.peers import MoodyPacs, moody_pacs, send_until_acknowledged
from tests.postgresql import make_database, running_postgresql
from tests.runtime.slides import write_slide
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.states import DeliveryState, JobState
from vst_dicom.ledger.tables import deliveries, instances, jobs, result_instances
from vst_dicom.runtime import supervisor as supervision
from vst_dicom.runtime.roles import ROLES
from vst_dicom.runtime.supervisor import Supervisor

_CONFIG = """
data_dir = "{data}"
database_url = "{database}"
[dicom]
port = {port}
[dicom.limits]
idle_s = 5
[storage]
reserve_bytes = 0
reserve_fraction = 0
[study]
quiet_s = 0.3
rules = "{rules}"
[predict]
most_attempts = 20
[web]
port = 0
[serve]
host = "{host}"
poll_s = 0.2
beat_s = 0.5
dead_after_s = {dead_after_s}
shutdown_s = 5
[delivery]
first_retry_s = 0.5
longest_retry_s = 2
[destinations.pacs]
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs_port}
timeout_s = 3
"""

_RULES = """
[[rule]]
name = "everything"
then = "process"
bundle = "brightness"
genes = ["G"]
destinations = ["pacs"]
"""


@dataclass(frozen=True)
class Plan:
    """What happens.

    Parameters
    ----------
    studies, kills, seed
        How many; of all random choices.
    hosts
        Machines that share the database; the first is killed for good, the second frozen and revived, if more than one.
    limit_s
        When to give up waiting.
    dead_after_s
        Silence after which a process counts as dead.
    mean_pause_s
        Between two kills.
    """

    studies: int
    kills: int
    seed: int
    hosts: int = 1
    limit_s: float = 600.0
    dead_after_s: float = 4.0
    mean_pause_s: float = 3.0


@dataclass
class Report:
    """What was counted.

    Parameters
    ----------
    kills
        By role.
    lost
        Acknowledged studies without a result in the PACS.
    twice
        Studies with more than one result.
    different
        SOP Instance UIDs that came with different bytes, or with others than those recorded.
    """

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    job_states: Counter[str] = field(default_factory=Counter)
    job_starts: int = 0
    delivery_attempts: int = 0
    pacs_answers: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Host:
    """One machine: all roles under a supervisor that restarts quickly."""

    def __init__(self, name: str, folder: Path, port: int) -> None:
        self.name = name
        self.port = port
        self.config = folder / f"{name}.toml"
        self._log = (folder / f"{name}.log").open("ab")
        self._stop = Event()
        self.supervisor = Supervisor(dict.fromkeys(ROLES, 1), self._command, shutdown_s=15)
        for child in self.supervisor._children:
            child.wait_s = 0.2
        self._thread = Thread(target=self.supervisor.run, args=(self._stop,), kwargs={"tick_s": 0.05})

    def _command(self, role: str, _slot: int) -> list[str]:
        log = f"exec {sys.executable} -m tests.chaos.role {role} {self.config} 2>>{self._log.name}"
        return ["/bin/sh", "-c", log]

    def start(self) -> None:
        self._thread.start()

    def signal_all(self, number: signal.Signals) -> None:
        for pid in self.supervisor.pids.values():
            _signal(pid, number)

    def end(self, *, at_once: bool = False) -> None:
        self._stop.set()
        if at_once:
            self.signal_all(signal.SIGKILL)
        self._thread.join(timeout=40)
        self._log.close()


def run_chaos(plan: Plan, folder: Path, database_url: str) -> Report:
    """Let it happen, wait until all is quiet or the time is over, and count."""
    chance = random.Random(plan.seed)  # noqa: S311 - no secret
    started = time.monotonic()
    report = Report()
    slides = [write_slide(folder / "slides" / f"{number}.dcm", number, 640) for number in range(plan.studies)]
    database = open_database(database_url)
    supervision._LONGEST_WAIT_S = 1.0  # type: ignore[misc]
    with moody_pacs(plan.seed) as pacs:
        hosts = [_host(plan, folder, database_url, number, pacs.port) for number in range(plan.hosts)]
        for host in hosts:
            host.start()
        acknowledged: list[str] = []
        ports = [host.port for host in hosts]
        sender = Thread(target=_send_all, args=(slides, ports, plan.limit_s, acknowledged))
        sender.start()
        try:
            _kill_some(plan, chance, hosts, database, report)
            sender.join(timeout=plan.limit_s)
            deadline = started + plan.limit_s
            while time.monotonic() < deadline and not _is_quiet(database, acknowledged):
                time.sleep(0.5)
        finally:
            for host in hosts:
                host.end()
        report.acknowledged = len(acknowledged)
        _count(database, folder / "data" / "results", acknowledged, pacs, report)
    report.seconds = time.monotonic() - started
    database.dispose()
    return report


def _host(plan: Plan, folder: Path, database_url: str, number: int, pacs_port: int) -> Host:
    (folder / "rules.toml").write_text(_RULES)
    (port,) = _free_ports(1)
    host = Host(f"host{number}", folder, port)
    text = _CONFIG.format(
        data=folder / "data",
        database=database_url,
        port=port,
        rules=folder / "rules.toml",
        host=host.name,
        pacs_port=pacs_port,
        dead_after_s=plan.dead_after_s,
    )
    host.config.write_text(text)
    return host


def _free_ports(count: int) -> list[int]:
    from tests.peers.dcmtk import free_ports

    return list(free_ports(count))


def _send_all(slides: list[Path], ports: list[int], limit_s: float, acknowledged: list[str]) -> None:
    for path in slides:
        try:
            acknowledged.append(send_until_acknowledged(path, ports, limit_s))
        except TimeoutError:
            continue  # was not acknowledged, so nothing is owed


def _kill_some(plan: Plan, chance: random.Random, hosts: list[Host], database: Engine, report: Report) -> None:
    """Kill at random moments; with several hosts, freeze and revive one and lose one for good.

    Starting takes a worker longer than a small slide does, so a part of the kills waits for a slide in progress.
    """
    living = list(hosts)
    struck: set[tuple[str, int]] = set()
    freeze_at, lose_at = plan.kills // 3, 2 * plan.kills // 3
    for number in range(plan.kills):
        if len(hosts) > 1 and number == freeze_at:
            hosts[1].signal_all(signal.SIGSTOP)
            time.sleep(plan.dead_after_s + 4)
            hosts[1].signal_all(signal.SIGCONT)
            report.kills["host frozen and revived"] += 1
        if len(hosts) > 1 and number == lose_at:
            hosts[0].end(at_once=True)
            living.remove(hosts[0])
            report.kills["host killed for good"] += 1
        time.sleep(chance.uniform(0.2, 2 * plan.mean_pause_s))
        role = chance.choice(["worker-gpu", "worker-gpu", *ROLES])
        if role == "worker-gpu" and _wait_for_running_job(database, struck):
            time.sleep(chance.uniform(0, 2))
        running = [(found, pid) for host in living for (found, _), pid in host.supervisor.pids.items()]
        aimed = [(found, pid) for found, pid in running if found == role] or running
        if aimed:
            found, pid = chance.choice(aimed)
            _signal(pid, signal.SIGKILL)
            report.kills[found] += 1


def _wait_for_running_job(database: Engine, struck: set[tuple[str, int]]) -> bool:
    """Wait until a start of a job is seen that was not struck before; it counts as struck then."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with database.begin() as connection:
            query = select(jobs.c.key, jobs.c.attempts).where(jobs.c.state == JobState.RUNNING)
            starts = {(row.key, row.attempts) for row in connection.execute(query)}
        if fresh := starts - struck:
            struck |= fresh
            return True
        time.sleep(0.05)
    return False


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _is_quiet(database: Engine, acknowledged: list[str]) -> bool:
    """Whether every acknowledged slide has a job, no job is open, and every delivery has ended."""
    with database.begin() as connection:
        states = connection.execute(select(jobs.c.state)).scalars().all()
        sent = connection.execute(select(deliveries.c.state)).scalars().all()
    ended = {JobState.DONE, JobState.REFUSED, JobState.PARKED, JobState.CANCELLED}
    return (
        len(states) >= len(acknowledged)
        and set(states) <= ended
        and set(sent) <= {DeliveryState.SENT, DeliveryState.COMMITTED, DeliveryState.PARKED}
    )


def _count(database: Engine, results: Path, acknowledged: list[str], pacs: MoodyPacs, report: Report) -> None:
    with database.begin() as connection:
        query = select(instances.c.sop_instance_uid, instances.c.study_instance_uid)
        studies = {row.sop_instance_uid: row.study_instance_uid for row in connection.execute(query)}
        rows = connection.execute(select(result_instances)).all()
        found_jobs = connection.execute(select(jobs.c.state, jobs.c.attempts)).all()
        report.delivery_attempts = sum(connection.execute(select(deliveries.c.attempts)).scalars())
    report.job_states = Counter(row.state for row in found_jobs)
    report.job_starts = sum(row.attempts for row in found_jobs)
    report.pacs_answers = pacs.answers
    names: dict[str, Counter[str]] = {}
    for row in rows:
        names.setdefault(row.study_instance_uid, Counter())[row.file_name] += 1
        came = pacs.stored.get(row.sop_instance_uid, set())
        if came - {_data_set_sha256(results / row.job_key / row.file_name)}:
            report.different.append(row.sop_instance_uid)
    known = {row.sop_instance_uid for row in rows}
    report.different += [uid for uid in pacs.stored if uid not in known]
    report.twice = [study for study, counted in names.items() if max(counted.values()) > 1]
    arrived = Counter(row.study_instance_uid for row in rows if row.sop_instance_uid in pacs.stored)
    for uid in acknowledged:
        study = studies.get(uid)
        if study is None or arrived[study] == 0 or arrived[study] < sum(names[study].values()):
            report.lost.append(uid)


def _data_set_sha256(path: Path) -> str:
    _, offset = split_dataset(path)
    return hashlib.sha256(path.read_bytes()[offset:]).hexdigest()


@contextmanager
def database_of(kind: str, folder: Path) -> Iterator[str]:
    """Address of an empty database."""
    if kind == "sqlite":
        (folder / "data").mkdir(parents=True, exist_ok=True)
        yield f"sqlite:///{folder / 'data' / 'vst.sqlite'}"
        return
    with running_postgresql() as server:
        yield make_database(server, "chaos")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=30)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--limit-s", type=float, default=900.0)
    parser.add_argument("--keep", type=Path, help="folder that stays, with logs")
    chosen = parser.parse_args()
    failed = False
    for kind in ["sqlite", "postgresql"] if chosen.database == "both" else [chosen.database]:
        plan = Plan(chosen.studies, chosen.kills, chosen.seed, 1 if kind == "sqlite" else 2, chosen.limit_s)
        with tempfile.TemporaryDirectory() as temporary:
            folder = (chosen.keep or Path(temporary)) / kind
            with database_of(kind, folder) as url:
                report = run_chaos(plan, folder, url)
        print(kind, json.dumps({"seed": plan.seed, **report.__dict__}, indent=1))  # noqa: T201
        failed = failed or bool(report.lost or report.twice or report.different)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
