"""Deliveries through the engine's queue: told once, urgent ones first, begun again where an attempt died."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import update

from tests.jobs.ledgers import add_job
from tests.jobs.test_engine import Recorder, wait_until
from vst_dicom.config import Settings
from vst_dicom.jobs.engine import Engine, delivery_workflow_id
from vst_dicom.jobs.worker import WorkerSettings, running_worker
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.deliveries import begin_attempt, create_deliveries, list_deliveries, read_delivery
from vst_dicom.ledger.states import DeliveryState
from vst_dicom.ledger.tables import deliveries
from vst_dicom.runtime import delivery
from vst_dicom.runtime.delivery import deliver, enqueue_deliveries

PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(ledger_url: str) -> Iterator[Database]:
    database = open_database(ledger_url)
    yield database
    database.dispose()


def owe(database: Database, key: str, *destinations: str, priority: int = 100) -> list[int]:
    key = add_job(database, key)
    with database.begin() as connection:
        create_deliveries(connection, key, destinations, priority=priority, now=PAST)
        return [row.id for row in list_deliveries(connection, key)]


def test_a_due_delivery_is_told_once(database: Database, ledger_url: str) -> None:
    (number,) = owe(database, "a", "pacs")
    with Engine(ledger_url) as engine:
        assert [enqueue_deliveries(database, engine), enqueue_deliveries(database, engine)] == [1, 0]
        assert engine.finished([delivery_workflow_id(number, 0)]) == {delivery_workflow_id(number, 0): False}


def test_a_delivery_that_is_not_due_is_not_told(database: Database, ledger_url: str) -> None:
    owe(database, "a", "pacs")
    with database.begin() as connection:
        connection.execute(update(deliveries).values(next_attempt_at=datetime.now(UTC) + timedelta(hours=1)))
    with Engine(ledger_url) as engine:
        assert enqueue_deliveries(database, engine) == 0


def test_work_that_ended_without_an_attempt_is_told_again(database: Database, ledger_url: str) -> None:
    (number,) = owe(database, "a", "pacs")
    recorder = Recorder()
    settings = WorkerSettings(ledger_url, "h:d:0", deliver=recorder, poll_s=0.05, shutdown_s=0)
    with Engine(ledger_url) as engine, running_worker(settings):
        enqueue_deliveries(database, engine)
        name = delivery_workflow_id(number, 0)
        wait_until(lambda: engine.finished([name])[name])
        assert enqueue_deliveries(database, engine) == 1
        wait_until(lambda: recorder.asked == [(number, 0), (number, 0)])


def test_a_crowd_for_one_destination_hides_no_other(
    database: Database, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_MOST_PER_DESTINATION", 2)
    for key in "abcd":
        owe(database, key, "hangs", priority=1)
    stat = owe(database, "e", "hangs", priority=0)
    other = owe(database, "f", "works", priority=100)
    with Engine(ledger_url) as engine:
        assert enqueue_deliveries(database, engine) == 3
        told = [delivery_workflow_id(number, 0) for number in (*stat, *other)]
        assert set(engine.finished(told)) == set(told)


def test_an_attempt_that_died_with_its_process_is_made_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (number,) = owe(database, "a", "pacs")
    made: list[int] = []
    monkeypatch.setattr(
        delivery, "deliver_once", lambda _database, _settings, delivery_id, _now: made.append(delivery_id)
    )
    with database.begin() as connection:
        begin_attempt(connection, read_delivery(connection, number), now=PAST, due_again=PAST)

    deliver(database, Settings(data_dir=tmp_path), number, 0)

    assert made == [number]


def test_an_attempt_that_others_went_beyond_is_left_alone(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (number,) = owe(database, "a", "pacs")
    monkeypatch.setattr(delivery, "deliver_once", lambda *_: pytest.fail("was made before"))
    for _ in range(2):
        with database.begin() as connection:
            begin_attempt(connection, read_delivery(connection, number), now=PAST, due_again=PAST)

    deliver(database, Settings(data_dir=tmp_path), number, 0)


def test_a_destination_that_settings_do_not_know_waits_for_a_person(database: Database, tmp_path: Path) -> None:
    (number,) = owe(database, "a", "nowhere")

    deliver(database, Settings(data_dir=tmp_path), number, 0)

    with database.begin() as connection:
        row = read_delivery(connection, number)
    assert (row.state, row.attempts) == (DeliveryState.PARKED, 1)
