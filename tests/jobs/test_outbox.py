from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database

from tests.jobs.ledgers import add_job, job_of
from vst_dicom.jobs.engine import Engine, process_id
from vst_dicom.jobs.outbox import enqueue_due, enqueue_lost, retry_delay_s, sweep_work_folders
from vst_dicom.jobs.results import ResultStore
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.jobs import finish_attempt, move_job, requeue_attempt, start_attempt
from vst_dicom.ledger.states import JobState


@pytest.fixture
def database(ledger_url: str) -> Iterator[Database]:
    database = open_database(ledger_url)
    yield database
    database.dispose()


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    with Engine(ledger_url) as engine:
        yield engine


def test_a_due_job_is_enqueued_once(database: Database, engine: Engine) -> None:
    key = add_job(database, "a")

    assert [enqueue_due(database, engine), enqueue_due(database, engine)] == [1, 0]
    assert engine.finished([process_id(key, 0)]) == {process_id(key, 0): False}


def test_a_job_enqueued_but_not_marked_is_marked_by_the_next_pass(
    database: Database, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_job(database, "a")
    engine.enqueue_process(key, 0, priority=100)  # and then killed

    assert enqueue_due(database, engine) == 1
    assert job_of(database, key).enqueued


def test_a_retried_job_is_enqueued_under_a_new_name(database: Database, engine: Engine) -> None:
    key = add_job(database, "a")
    enqueue_due(database, engine)
    with database.begin() as connection:
        move_job(connection, key, JobState.CANCELLED, now=datetime.now(UTC))
        move_job(connection, key, JobState.QUEUED, now=datetime.now(UTC))

    assert enqueue_due(database, engine) == 1
    assert set(engine.finished([process_id(key, 0), process_id(key, 1)])) == {process_id(key, 0), process_id(key, 1)}


def test_jobs_that_the_engine_never_heard_of_begin_again(database: Database, engine: Engine) -> None:
    key = add_job(database, "a")
    enqueue_due(database, engine)
    engine.forget([process_id(key, 0)])

    assert [enqueue_lost(database, engine), enqueue_due(database, engine)] == [1, 1]
    assert engine.finished([process_id(key, 1)]) == {process_id(key, 1): False}


def test_jobs_that_the_engine_still_has_are_left_alone(database: Database, engine: Engine) -> None:
    keys = [add_job(database, f"{number:03}") for number in range(30)]
    enqueue_due(database, engine)

    assert enqueue_lost(database, engine) == 0
    assert {job_of(database, key).round for key in keys} == {0}


def test_finished_jobs_are_not_lost(database: Database, engine: Engine) -> None:
    key = add_job(database, "a")
    enqueue_due(database, engine)
    with database.begin() as connection:
        job = start_attempt(connection, key, 0, datetime.now(UTC))
        assert job is not None
        finish_attempt(connection, job, JobState.DONE, now=datetime.now(UTC))
    engine.forget([process_id(key, 0)])

    assert enqueue_lost(database, engine) == 0


@pytest.mark.parametrize(("failed", "wait"), [(0, 0), (1, 30), (2, 60), (3, 120), (8, 3600), (100, 3600)])
def test_waits_double_up_to_an_hour(failed: int, wait: float) -> None:
    assert retry_delay_s(failed) == wait


def test_a_failed_job_waits_in_the_engine(database: Database, engine: Engine) -> None:
    key = add_job(database, "a")
    with database.begin() as connection:
        job = start_attempt(connection, key, 0, datetime.now(UTC))
        assert job is not None
        requeue_attempt(connection, job, reason="memory ran out", forgive=False)

    assert enqueue_due(database, engine) == 1
    assert engine._client.list_workflows(status="DELAYED")[0].workflow_id == process_id(key, 1)


def test_work_folders_of_dead_attempts_are_removed(database: Database, tmp_path: Path) -> None:
    store, key = ResultStore(tmp_path), add_job(database, "a")
    for attempt in (1, 2):
        with database.begin() as connection:
            start_attempt(connection, key, 0, datetime.now(UTC))
        store.work_folder(key, attempt)
    store.work_folder("gone", 1)

    assert sweep_work_folders(database, store) == 2
    assert store.leftovers() == [(key, 2)]
