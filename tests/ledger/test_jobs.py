from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, insert

from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.jobs import (
    create_job,
    find_job,
    finish_attempt,
    holds,
    list_enqueued,
    list_jobs,
    list_not_enqueued,
    mark_enqueued,
    move_job,
    read_job,
    report_progress,
    requeue_attempt,
    requeue_lost,
    start_attempt,
)
from vst_dicom.ledger.states import JOB_TRANSITIONS, JobState
from vst_dicom.ledger.tables import jobs, slides

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    database: Engine = open_database(f"sqlite:///{tmp_path / 'vst.sqlite'}")
    with database.begin() as connection:
        connection.execute(
            insert(slides).values(
                id=1,
                group_key="g",
                study_instance_uid="1.2",
                series_instance_uid="1.2.3",
                state="queued",
                first_instance_at=NOW,
                last_instance_at=NOW,
            )
        )
        yield connection


def create(connection: Connection, key: str = "a" * 64, *, priority: int = 100, now: datetime = NOW) -> bool:
    return create_job(
        connection,
        key=key,
        slide_id=1,
        predecessor_key=None,
        instance_ids=[7, 8],
        bundle="her2st-lite",
        genes=["GNAS"],
        destinations=["pacs"],
        priority=priority,
        now=now,
    )


def test_a_job_is_read_as_it_was_created(connection: Connection) -> None:
    assert create(connection)

    job = read_job(connection, "a" * 64)

    assert (job.state, job.instance_ids, job.genes, job.destinations) == (JobState.QUEUED, (7, 8), ("GNAS",), ("pacs",))
    assert (job.created_at, job.attempts, job.round, job.enqueued) == (NOW, 0, 0, False)


def test_a_second_job_of_the_same_key_changes_nothing(connection: Connection) -> None:
    create(connection)
    move_job(connection, "a" * 64, JobState.CANCELLED, now=LATER, reason="not wanted")

    assert not create(connection, priority=1, now=LATER)

    job = read_job(connection, "a" * 64)
    assert (job.state, job.priority, job.created_at) == (JobState.CANCELLED, 100, NOW)


def test_not_enqueued_jobs_come_urgent_first_then_oldest(connection: Connection) -> None:
    create(connection, "c" * 64, now=NOW)
    create(connection, "b" * 64, now=LATER)
    create(connection, "a" * 64, priority=1, now=LATER + timedelta(1))

    assert [job.key[0] for job in list_not_enqueued(connection, 10)] == ["a", "c", "b"]


def test_a_job_that_the_engine_knows_is_not_listed_again(connection: Connection) -> None:
    create(connection)

    mark_enqueued(connection, "a" * 64, 0)

    assert list_not_enqueued(connection, 10) == []


def test_marking_an_earlier_round_leaves_the_later_one_to_be_enqueued(connection: Connection) -> None:
    create(connection)
    move_job(connection, "a" * 64, JobState.CANCELLED, now=NOW)
    move_job(connection, "a" * 64, JobState.QUEUED, now=NOW)

    mark_enqueued(connection, "a" * 64, 0)

    assert [job.round for job in list_not_enqueued(connection, 10)] == [1]


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("to", JobState)
def test_only_transitions_of_the_table_happen(connection: Connection, state: JobState, to: JobState) -> None:
    create(connection)
    connection.execute(jobs.update().values(state=state))

    if to in JOB_TRANSITIONS[state]:
        assert move_job(connection, "a" * 64, to, now=LATER) is state
        assert read_job(connection, "a" * 64).state is to
    else:
        with pytest.raises(UsageError, match=f"is {state} and can go to"):
            move_job(connection, "a" * 64, to, now=LATER)
        assert read_job(connection, "a" * 64).state is state


def test_a_retry_begins_a_new_round_and_forgives_earlier_attempts(connection: Connection) -> None:
    create(connection)
    job = start_attempt(connection, "a" * 64, 0, NOW)
    assert job is not None
    finish_attempt(connection, job, JobState.REFUSED, now=LATER, reason="no tissue")

    move_job(connection, "a" * 64, JobState.QUEUED, now=LATER)

    job = read_job(connection, "a" * 64)
    assert (job.round, job.enqueued, job.attempts, job.attempts_forgiven) == (1, False, 1, 1)
    assert (job.reason, job.finished_at) == ("", None)


def test_a_later_start_fences_the_earlier_one(connection: Connection) -> None:
    create(connection)
    frozen = start_attempt(connection, "a" * 64, 0, NOW)
    heir = start_attempt(connection, "a" * 64, 0, LATER)
    assert frozen is not None
    assert heir is not None

    assert not holds(connection, frozen)
    assert not report_progress(connection, frozen, "predict", 0.5)
    assert not finish_attempt(connection, frozen, JobState.DONE, now=LATER)
    assert holds(connection, heir)
    assert finish_attempt(connection, heir, JobState.DONE, now=LATER)


def test_the_first_start_dates_all_later_ones(connection: Connection) -> None:
    create(connection)
    start_attempt(connection, "a" * 64, 0, NOW)

    job = start_attempt(connection, "a" * 64, 0, LATER)

    assert job is not None
    assert (job.started_at, job.attempts) == (NOW, 2)


@pytest.mark.parametrize("state", [JobState.DONE, JobState.CANCELLED, JobState.PARKED, JobState.REFUSED])
def test_a_finished_job_does_not_start(connection: Connection, state: JobState) -> None:
    create(connection)
    connection.execute(jobs.update().values(state=state))

    assert start_attempt(connection, "a" * 64, 0, NOW) is None


def test_the_workflow_of_an_earlier_round_does_not_start(connection: Connection) -> None:
    create(connection)
    move_job(connection, "a" * 64, JobState.CANCELLED, now=NOW)
    move_job(connection, "a" * 64, JobState.QUEUED, now=NOW)

    assert start_attempt(connection, "a" * 64, 0, NOW) is None


def test_progress_of_a_cancelled_job_is_refused(connection: Connection) -> None:
    create(connection)
    job = start_attempt(connection, "a" * 64, 0, NOW)
    assert job is not None
    move_job(connection, job.key, JobState.CANCELLED, now=LATER, reason="by a person")

    assert not report_progress(connection, job, "predict", 0.5)


def test_progress_is_seen_in_the_row(connection: Connection) -> None:
    create(connection)
    job = start_attempt(connection, "a" * 64, 0, NOW)
    assert job is not None

    assert report_progress(connection, job, "predict", 0.5)

    found = read_job(connection, job.key)
    assert replace(job, stage="predict", progress=0.5) == found


def test_an_attempt_cannot_end_where_the_table_does_not_lead(connection: Connection) -> None:
    create(connection)
    job = start_attempt(connection, "a" * 64, 0, NOW)
    assert job is not None

    with pytest.raises(ValueError, match="cannot end in"):
        finish_attempt(connection, job, JobState.QUEUED, now=NOW)


def test_a_long_reason_is_cut_to_the_column(connection: Connection) -> None:
    create(connection)

    move_job(connection, "a" * 64, JobState.PARKED, now=NOW, reason="x" * 1000)

    assert len(read_job(connection, "a" * 64).reason) == 500


def test_jobs_are_listed_by_state(connection: Connection) -> None:
    for key, state in zip("abcdef", JobState, strict=True):
        create(connection, key * 64)
        connection.execute(jobs.update().where(jobs.c.key == key * 64).values(state=state))

    assert [job.state for job in list_jobs(connection, states=[JobState.DONE])] == [JobState.DONE]


def test_a_job_is_found_by_the_start_of_its_key(connection: Connection) -> None:
    create(connection, "ab" + "0" * 62)
    create(connection, "ac" + "0" * 62)

    assert find_job(connection, "ab").key == "ab" + "0" * 62
    with pytest.raises(UsageError, match="more than one"):
        find_job(connection, "a")
    with pytest.raises(UsageError, match="no job has a key"):
        find_job(connection, "%")


@pytest.mark.parametrize(("forgive", "failed"), [(True, 0), (False, 1)])
def test_a_requeued_attempt_begins_a_new_round(connection: Connection, forgive: bool, failed: int) -> None:
    create(connection)
    mark_enqueued(connection, "a" * 64, 0)
    job = start_attempt(connection, "a" * 64, 0, NOW)
    assert job is not None

    assert requeue_attempt(connection, job, reason="memory ran out", forgive=forgive)

    job = read_job(connection, job.key)
    assert (job.state, job.round, job.enqueued, job.failed_attempts) == (JobState.QUEUED, 1, False, failed)
    assert job.reason == "memory ran out"


def test_a_fenced_attempt_does_not_requeue(connection: Connection) -> None:
    create(connection)
    fenced = start_attempt(connection, "a" * 64, 0, NOW)
    start_attempt(connection, "a" * 64, 0, NOW)
    assert fenced is not None

    assert not requeue_attempt(connection, fenced, reason="", forgive=True)
    assert read_job(connection, fenced.key).state is JobState.RUNNING


def test_a_lost_job_begins_a_new_round_unless_it_moved_on(connection: Connection) -> None:
    create(connection)
    mark_enqueued(connection, "a" * 64, 0)
    (seen,) = list_enqueued(connection, 10)

    assert requeue_lost(connection, seen, reason="the engine lost it")
    assert not requeue_lost(connection, seen, reason="the engine lost it")
    assert read_job(connection, seen.key).round == 1


def test_a_job_that_ended_meanwhile_is_not_lost(connection: Connection) -> None:
    create(connection)
    job = start_attempt(connection, "a" * 64, 0, NOW)
    assert job is not None
    finish_attempt(connection, job, JobState.DONE, now=NOW)

    assert not requeue_lost(connection, job, reason="")
