"""Work of dead executors goes on elsewhere; who comes back from the dead writes nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select

from tests.jobs.ledgers import add_job, job_of, n_closings
from tests.jobs.test_engine import wait_until
from vst_dicom.domain.errors import UsageError
from vst_dicom.jobs.engine import Claim, Engine, process_id
from vst_dicom.jobs.slot import held_slot
from vst_dicom.jobs.takeover import Takeover
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.heartbeats import beat, living, withdraw
from vst_dicom.ledger.states import JobState
from vst_dicom.ledger.tables import result_instances

DEAD_AFTER_S = 3.0


@pytest.fixture
def database(ledger_url: str) -> Iterator[Database]:
    database = open_database(ledger_url)
    yield database
    database.dispose()


@contextmanager
def worker(url: str, folder: Path, host: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "tests.jobs.standin", url, str(folder), host, "60", str(DEAD_AFTER_S)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


def runs(database: Database, key: str) -> bool:
    job = job_of(database, key)
    return job.state is JobState.RUNNING and job.stage == "predict"


def test_work_of_a_host_that_died_for_good_is_done_by_another(
    ledger_url: str, database: Database, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    key = add_job(database, "a", "fine 1.5")
    with worker(ledger_url, tmp_path, "one") as one:
        wait_until(lambda: runs(database, key))
        with worker(ledger_url, tmp_path, "two"):
            one.kill()
            died = time.monotonic()
            wait_until(lambda: job_of(database, key).attempts == 2, 40)
            record_property("takeover_s", time.monotonic() - died)
            wait_until(lambda: job_of(database, key).state is JobState.DONE, 20)

    assert n_closings(database, key) == 1


def test_a_host_that_was_frozen_and_comes_back_writes_nothing(
    ledger_url: str, database: Database, tmp_path: Path
) -> None:
    key = add_job(database, "a", "fine 2")
    with worker(ledger_url, tmp_path, "one") as one:
        wait_until(lambda: runs(database, key))
        os.kill(one.pid, signal.SIGSTOP)
        with worker(ledger_url, tmp_path, "two"):
            wait_until(lambda: job_of(database, key).state is JobState.DONE, 40)
            with database.begin() as connection:
                first = connection.execute(select(result_instances.c.sha256)).scalar_one()
            os.kill(one.pid, signal.SIGCONT)
            other = add_job(database, "b")  # both work again
            wait_until(lambda: job_of(database, other).state is JobState.DONE, 20)
            time.sleep(2.5)  # the time that the revived host still needs for its slide

    assert (n_closings(database, key), job_of(database, key).attempts) == (1, 2)
    with database.begin() as connection:
        query = select(result_instances.c.sha256).where(result_instances.c.job_key == key)
        assert connection.execute(query).scalar_one() == first


def test_a_process_that_starts_again_goes_on_with_its_own_work_at_once(
    ledger_url: str, database: Database, tmp_path: Path
) -> None:
    key = add_job(database, "a", "fine 1")
    with worker(ledger_url, tmp_path, "one") as one:
        wait_until(lambda: runs(database, key))
        one.kill()
    with worker(ledger_url, tmp_path, "one"):
        wait_until(lambda: job_of(database, key).state is JobState.DONE, 20)

    assert job_of(database, key).attempts == 2


def test_a_slide_that_kills_its_worker_is_parked_and_others_go_on(
    ledger_url: str, database: Database, tmp_path: Path
) -> None:
    bad = add_job(database, "a", "crash")
    good = add_job(database, "b", "fine")
    n_crashes = 0
    while job_of(database, good).state is not JobState.DONE or job_of(database, bad).state is not JobState.PARKED:
        assert n_crashes <= 4, "parked after 3 tries"
        with worker(ledger_url, tmp_path, "one") as process:  # as the supervisor does
            deadline = time.monotonic() + 20
            while process.poll() is None and job_of(database, bad).state is not JobState.PARKED:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            if process.poll() is not None:
                n_crashes += 1
                continue
            wait_until(lambda: job_of(database, good).state is JobState.DONE, 20)

    assert n_crashes == 3
    assert job_of(database, bad).reason.startswith("its worker died in each of 3 attempts")


def test_beats_of_the_living_are_told_from_those_of_the_dead(database: Database) -> None:
    with database.begin() as connection:
        beat(connection, "h:w:0", "w")
        beat(connection, "h:w:0", "w")
        assert living(connection, timedelta(seconds=30)) == {"h:w:0": "w"}
        assert living(connection, timedelta(seconds=-5)) == {}
        withdraw(connection, "h:w:0")
        assert living(connection, timedelta(seconds=30)) == {}


class FakeEngine:
    """Knows claims, and notes what is released."""

    def __init__(self, *claims: Claim) -> None:
        self.open = list(claims)
        self.released: list[Claim] = []

    def claims(self) -> list[Claim]:
        return self.open

    def release(self, claim: Claim) -> bool:
        self.released.append(claim)
        return True


def test_a_claim_of_our_own_that_never_began_is_given_back_at_the_second_look(database: Database) -> None:
    mine, begun = Claim("process/a/0", "me"), Claim("process/b/0", "me")
    engine = FakeEngine(mine, begun)
    takeover = Takeover(database, engine, "me", timedelta(seconds=30))  # type: ignore[arg-type]

    first = takeover.look({"process/b/0"})
    second = takeover.look({"process/b/0"})

    assert (first, second) == ([], [mine])


def test_after_a_gap_nobody_is_judged_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(Claim("process/a/0", "silent"))
    takeover = Takeover(database, engine, "me", timedelta(seconds=30))  # type: ignore[arg-type]
    now = time.time()

    monkeypatch.setattr("vst_dicom.jobs.takeover.time.time", lambda: now + 3600)  # this host was asleep
    assert takeover.look(set()) == []
    monkeypatch.setattr("vst_dicom.jobs.takeover.time.time", lambda: now + 3612)
    assert takeover.look(set()) == []
    for seconds in (3624, 3631):
        monkeypatch.setattr("vst_dicom.jobs.takeover.time.time", lambda seconds=seconds: now + seconds)
        released = takeover.look(set())
    assert released == engine.open


def test_two_processes_never_use_one_name(tmp_path: Path) -> None:
    with (
        held_slot(tmp_path, "h:w:0"),
        held_slot(tmp_path, "h:w:1"),
        pytest.raises(UsageError, match="h:w:0"),
        held_slot(tmp_path, "h:w:0"),
    ):
        pass
    with held_slot(tmp_path, "h:w:0"):
        pass


def test_the_name_of_released_work_is_kept(ledger_url: str) -> None:
    with Engine(ledger_url) as engine:
        engine.enqueue_process("a", 0, priority=1)
        assert not engine.release(Claim(process_id("a", 0), "nobody"))
        assert engine.finished([process_id("a", 0)]) == {process_id("a", 0): False}
