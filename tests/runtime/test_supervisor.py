import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.jobs.test_engine import wait_until
from vst_dicom.config import Settings
from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.database import open_database
from vst_dicom.runtime.roles import ROLES, executor_id, find_role, living_roles
from vst_dicom.runtime.supervisor import Supervisor

SLEEP = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"

ROLE = """
import sys
from pathlib import Path
from vst_dicom.config import Settings
from vst_dicom.runtime.roles import run_role
settings = Settings(data_dir=Path(sys.argv[1]), serve={"host": "h", "beat_s": 0.2, "dead_after_s": 2})
run_role("delivery", settings, role=lambda settings, stop: stop.wait(60))
"""


@contextmanager
def supervised(
    processes: dict[str, int], program: str = SLEEP, ready: Callable[[], bool] | None = None, shutdown_s: float = 5.0
) -> Iterator[Supervisor]:
    supervisor = Supervisor(processes, lambda *_: [sys.executable, "-c", program], shutdown_s=shutdown_s)
    stop = Event()
    thread = Thread(target=supervisor.run, args=(stop,), kwargs={"tick_s": 0.02, "ready": ready})
    thread.start()
    try:
        yield supervisor
    finally:
        stop.set()
        thread.join(timeout=30)
        assert not thread.is_alive()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_process_of_every_role_runs_and_all_stop_together() -> None:
    with supervised({"receiver": 1, "worker-gpu": 2}) as supervisor:
        wait_until(lambda: len(supervisor.pids) == 3)
        pids = supervisor.pids
        assert set(pids) == {("receiver", 0), ("worker-gpu", 0), ("worker-gpu", 1)}

    assert not any(map(alive, pids.values()))


def test_a_process_that_is_killed_starts_again() -> None:
    with supervised({"receiver": 1}) as supervisor:
        wait_until(lambda: bool(supervisor.pids))
        (first,) = supervisor.pids.values()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: bool(supervisor.pids) and first not in supervisor.pids.values(), 10)


def test_a_process_that_always_ends_is_started_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []

    def command(role: str, slot: int) -> list[str]:
        starts.append(time.monotonic())
        return [sys.executable, "-c", "raise SystemExit(3)"]

    monkeypatch.setattr("vst_dicom.runtime.supervisor._LONGEST_WAIT_S", 0.4)
    supervisor = Supervisor({"receiver": 1}, command, shutdown_s=1)
    for child in supervisor._children:
        child.wait_s = 0.1
    stop = Event()
    thread = Thread(target=supervisor.run, args=(stop,), kwargs={"tick_s": 0.01})
    thread.start()
    wait_until(lambda: len(starts) == 5)
    stop.set()
    thread.join(10)

    waits = [after - before for before, after in itertools.pairwise(starts)]
    for wait, least in zip(waits, (0.1, 0.2, 0.4, 0.4), strict=True):
        assert least <= wait


def test_a_process_that_does_not_stop_is_killed() -> None:
    with supervised({"receiver": 1}, DEAF, shutdown_s=1.0) as supervisor:
        wait_until(lambda: bool(supervisor.pids))
        (pid,) = supervisor.pids.values()
        time.sleep(0.5)  # until it has become deaf

    assert not alive(pid)


def test_readiness_is_asked_until_it_comes() -> None:
    answers = iter([False, True])
    asked = []

    def ready() -> bool:
        asked.append(next(answers))
        return asked[-1]

    with supervised({"receiver": 1}, ready=ready):
        wait_until(lambda: asked == [False, True])
        time.sleep(1.2)  # is not asked a third time


@pytest.fixture
def role_process(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    open_database(Settings(data_dir=tmp_path).database).dispose()
    process = subprocess.Popen([sys.executable, "-c", ROLE, str(tmp_path)])
    yield process
    process.kill()
    process.wait(10)


def test_a_role_beats_while_it_works_and_withdraws_when_it_stops(
    tmp_path: Path, role_process: "subprocess.Popen[bytes]"
) -> None:
    settings = Settings(data_dir=tmp_path)
    database = open_database(settings.database)
    wait_until(lambda: living_roles(database, settings) == {"h:delivery:0"})

    role_process.terminate()

    assert role_process.wait(10) == 0
    assert living_roles(database, settings) == frozenset()


def test_a_second_process_of_the_same_slot_is_refused(tmp_path: Path, role_process: "subprocess.Popen[bytes]") -> None:
    settings = Settings(data_dir=tmp_path)
    database = open_database(settings.database)
    wait_until(lambda: bool(living_roles(database, settings)))

    second = subprocess.run(
        [sys.executable, "-c", ROLE, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )

    assert second.returncode != 0
    assert "another process already works as h:delivery:0" in second.stderr


def test_a_role_stops_when_the_process_that_started_it_is_gone(tmp_path: Path) -> None:
    parent = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]]);"
        "print(p.pid, flush=True); p.wait()"
    )
    open_database(Settings(data_dir=tmp_path).database).dispose()
    command = [sys.executable, "-c", parent, ROLE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        settings = Settings(data_dir=tmp_path)
        database = open_database(settings.database)
        wait_until(lambda: bool(living_roles(database, settings)))
        process.kill()
        wait_until(lambda: living_roles(database, settings) == frozenset(), 15)
    wait_until(lambda: not alive(pid) or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z", 10)


@pytest.mark.parametrize("name", ROLES)
def test_every_role_of_the_table_exists(name: str) -> None:
    assert callable(find_role(name))


def test_an_unknown_role_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UsageError, match="receiver, worker-cpu, worker-gpu, delivery, web"):
        find_role("viewer")


def test_a_process_is_named_by_host_role_and_slot(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, serve={"host": "pathology-1", "slot": 2})  # type: ignore[arg-type]

    assert executor_id(settings, "worker-gpu") == "pathology-1:worker-gpu:2"


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("vst_dicom.runtime.roles", "torch dbos highdicom pydicom"),
        ("vst_dicom.runtime.supervisor", "torch dbos highdicom pydicom"),
        ("vst_dicom.runtime.delivery", "torch highdicom"),
        ("vst_dicom.service.serving", "torch highdicom matplotlib anndata"),
        ("vst_dicom.cli.jobs", "torch dbos highdicom pydicom sqlalchemy"),
        ("vst_dicom.cli.serve", "torch dbos highdicom pydicom sqlalchemy"),
    ],
)
def test_light_processes_stay_light(module: str, forbidden: str) -> None:
    program = f"import sys, {module}; print(*[name for name in {forbidden.split()} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert found.stdout.split() == []
