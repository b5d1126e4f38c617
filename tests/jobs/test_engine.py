"""What this product needs of dbos, on both databases: a change of dbos that breaks it is seen here."""

import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Lock

import pytest
from sqlalchemy import create_engine, text

from vst_dicom.jobs.engine import Claim, Engine, delivery_workflow_id, engine_url, prepare_database, process_id
from vst_dicom.jobs.worker import WorkerSettings, running_worker


def wait_until(true: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


class Recorder:
    """Notes what it is asked to do."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.asked: list[tuple[str | int, int]] = []
        self.seconds = seconds
        self.lock = Lock()

    def __call__(self, subject: str | int, number: int) -> None:
        with self.lock:
            self.asked.append((subject, number))
        time.sleep(self.seconds)


def test_urgent_work_goes_first_then_the_oldest(ledger_url: str) -> None:
    recorder = Recorder()
    with Engine(ledger_url) as engine:
        for key, priority in (("first", 100), ("second", 100), ("stat", 1), ("zero", 0), ("last", 200)):
            engine.enqueue_process(key, 0, priority=priority)
            time.sleep(0.002)  # dbos orders by milliseconds
        with running_worker(WorkerSettings(ledger_url, "h:w:0", process=recorder, poll_s=0.05, shutdown_s=0)):
            wait_until(lambda: len(recorder.asked) == 5)

    assert [key for key, _ in recorder.asked] == ["stat", "zero", "first", "second", "last"]


def test_work_of_one_name_is_done_once(ledger_url: str) -> None:
    recorder = Recorder()
    settings = WorkerSettings(ledger_url, "h:w:0", process=recorder, poll_s=0.05, shutdown_s=0)
    with Engine(ledger_url) as engine, running_worker(settings):
        for _ in range(3):
            engine.enqueue_process("a", 0, priority=1)
        wait_until(lambda: engine.finished([process_id("a", 0)]) == {process_id("a", 0): True})
        engine.enqueue_process("a", 0, priority=1)
        engine.enqueue_process("a", 1, priority=1)
        wait_until(lambda: ("a", 1) in recorder.asked)

    assert recorder.asked == [("a", 0), ("a", 1)]


def test_work_that_raises_does_not_stop_the_worker(ledger_url: str) -> None:
    done = Event()

    def process(key: str, round_: int) -> None:
        if key == "bad":
            raise RuntimeError("DOE^JANE")
        done.set()

    with Engine(ledger_url) as engine:
        engine.enqueue_process("bad", 0, priority=1)
        engine.enqueue_process("good", 0, priority=2)
        with running_worker(WorkerSettings(ledger_url, "h:w:0", process=process, poll_s=0.05, shutdown_s=0)):
            assert done.wait(20)
        assert engine.finished([process_id("bad", 0), "unknown"]) == {process_id("bad", 0): True}


def test_delayed_work_waits(ledger_url: str) -> None:
    recorder = Recorder()
    with Engine(ledger_url) as engine:
        engine.enqueue_process("late", 0, priority=1, delay_s=5.0)
        engine.enqueue_process("now", 0, priority=100)
        with running_worker(WorkerSettings(ledger_url, "h:w:0", process=recorder, poll_s=0.05, shutdown_s=0)):
            wait_until(lambda: len(recorder.asked) == 2)

    assert [key for key, _ in recorder.asked] == ["now", "late"]


def test_a_destination_that_hangs_delays_no_other(ledger_url: str) -> None:
    released, done = Event(), []

    def deliver(delivery_id: int, attempt: int) -> None:
        if delivery_id < 100:
            released.wait(20)
        done.append(delivery_id)

    with Engine(ledger_url) as engine:
        for number in range(20):
            engine.enqueue_delivery(number, 0, destination="hangs", priority=1)
        engine.enqueue_delivery(100, 0, destination="works", priority=100)
        settings = WorkerSettings(ledger_url, "h:d:0", deliver=deliver, delivery_slots=4, poll_s=0.05, shutdown_s=0)
        with running_worker(settings):
            wait_until(lambda: 100 in done)
            assert done == [100]
            released.set()
            wait_until(lambda: len(done) == 21)


def test_a_process_takes_work_of_its_own_queues_only(ledger_url: str) -> None:
    delivered = Recorder()
    with Engine(ledger_url) as engine:
        engine.enqueue_process("slide", 0, priority=1)
        engine.enqueue_delivery(7, 0, destination="pacs", priority=1)
        with running_worker(WorkerSettings(ledger_url, "h:d:0", deliver=delivered, poll_s=0.05, shutdown_s=0)):
            wait_until(lambda: delivered.asked == [(7, 0)])
            wait_until(lambda: engine.finished([delivery_workflow_id(7, 0)])[delivery_workflow_id(7, 0)])
        assert engine.finished([process_id("slide", 0)]) == {process_id("slide", 0): False}


def test_work_in_progress_is_claimed_and_can_be_released(ledger_url: str) -> None:
    go_on, calls = Event(), []

    def process(key: str, round_: int) -> None:
        calls.append(key)
        if len(calls) == 1:
            go_on.wait(20)

    with Engine(ledger_url) as engine:
        engine.enqueue_process("a", 0, priority=1)
        settings = WorkerSettings(ledger_url, "h:w:0", process=process, process_slots=2, poll_s=0.05, shutdown_s=0)
        with running_worker(settings) as worker:
            wait_until(lambda: calls == ["a"])
            claim = Claim(process_id("a", 0), "h:w:0")
            assert engine.claims() == [claim]
            assert worker.active() == {process_id("a", 0)}
            assert not engine.release(Claim(process_id("a", 0), "somebody else"))
            assert engine.release(claim)
            wait_until(lambda: calls == ["a", "a"])
            go_on.set()
            wait_until(lambda: not engine.claims())


def test_finished_work_is_forgotten_after_a_while_and_waiting_work_never(ledger_url: str) -> None:
    recorder = Recorder()
    with Engine(ledger_url) as engine:
        engine.enqueue_process("a", 0, priority=1)
        with running_worker(WorkerSettings(ledger_url, "h:w:0", process=recorder, poll_s=0.05, shutdown_s=0)):
            wait_until(lambda: engine.finished([process_id("a", 0)])[process_id("a", 0)])
        engine.enqueue_process("b", 0, priority=1)
        names = [process_id("a", 0), process_id("b", 0)]

        assert engine.forget_finished(datetime.now(UTC) - timedelta(days=1)) == 0
        assert engine.forget_finished(datetime.now(UTC) + timedelta(minutes=1)) == 1
        assert engine.finished(names) == {process_id("b", 0): False}


def test_forgotten_work_can_be_enqueued_under_its_name_again(ledger_url: str) -> None:
    recorder = Recorder()
    settings = WorkerSettings(ledger_url, "h:w:0", process=recorder, poll_s=0.05, shutdown_s=0)
    with Engine(ledger_url) as engine, running_worker(settings):
        engine.enqueue_process("a", 0, priority=1)
        wait_until(lambda: engine.finished([process_id("a", 0)])[process_id("a", 0)])
        engine.forget([process_id("a", 0)])
        engine.enqueue_process("a", 0, priority=1)
        wait_until(lambda: len(recorder.asked) == 2)


def test_the_engine_stores_json_and_no_pickle(ledger_url: str) -> None:
    with Engine(ledger_url) as engine:
        engine.enqueue_process("k", 3, priority=1)
    schema = "" if ledger_url.startswith("sqlite") else "dbos."
    database = create_engine(engine_url(ledger_url))
    with database.connect() as connection:
        stored = connection.execute(text(f"SELECT inputs FROM {schema}workflow_input")).scalar_one()  # noqa: S608
        kinds = connection.execute(text(f"SELECT serialization FROM {schema}workflow_status")).scalars().all()  # noqa: S608
    database.dispose()

    assert '"k"' in stored
    assert kinds == ["portable_json"]


def test_sqlite_writes_ahead_and_synchronizes_fully(tmp_path: object) -> None:
    database = prepare_database(f"sqlite:///{tmp_path}/e.sqlite")
    with database.connect() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")
        }
    database.dispose()

    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def test_the_engine_has_a_sqlite_file_of_its_own_and_shares_postgresql() -> None:
    assert engine_url("sqlite:////data/vst.sqlite") == "sqlite:////data/vst-engine.sqlite"
    assert engine_url("postgresql+psycopg://u:p@h/d") == "postgresql+psycopg://u:p@h/d"


def test_sqlite_is_new_enough_for_returning() -> None:
    assert sqlite3.sqlite_version_info >= (3, 35)


@pytest.mark.parametrize("n", [200])
def test_the_engine_costs_little(ledger_url: str, n: int, record_property: Callable[[str, object], None]) -> None:
    recorder = Recorder()
    with Engine(ledger_url) as engine:
        start = time.perf_counter()
        for number in range(n):
            engine.enqueue_process(f"k{number}", 0, priority=1)
        enqueued = time.perf_counter()
        settings = WorkerSettings(ledger_url, "h:w:0", process=recorder, process_slots=20, poll_s=0.02, shutdown_s=0)
        with running_worker(settings):
            wait_until(lambda: len(recorder.asked) == n, 60)
        done = time.perf_counter()
    record_property("enqueue_ms", 1000 * (enqueued - start) / n)
    record_property("run_ms", 1000 * (done - enqueued) / n)

    assert (enqueued - start) / n < 0.1
    assert (done - enqueued) / n < 0.2
