"""One attempt at a job, without the engine: what becomes of the job whatever happens in it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest
import structlog
from sqlalchemy import Engine

from tests.jobs.ledgers import add_job, job_of, n_closings
from tests.jobs.standin import close, process, runner
from vst_dicom.domain.errors import BundleError, EncodingError, PeerError, UsageError, VstDicomError
from vst_dicom.jobs.attempt import Attempt
from vst_dicom.jobs.results import MANIFEST_FILE
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.jobs import Job, move_job, start_attempt
from vst_dicom.ledger.states import JobState


@pytest.fixture
def database(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path / 'vst.sqlite'}")


def run_with(database: Engine, folder: Path, work: Callable[[Job, Path, Attempt], None], key: str) -> Job:
    replace(runner(database, folder, Event()), process=work).run(key, job_of(database, key).round)
    return job_of(database, key)


def fail_with(error: BaseException) -> Callable[[Job, Path, Attempt], None]:
    def work(job: Job, out: Path, attempt: Attempt) -> None:
        raise error

    return work


def never(job: Job, out: Path, attempt: Attempt) -> None:
    raise AssertionError("no second inference")


def test_a_job_is_done_with_one_result(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a")

    runner(database, tmp_path, Event()).run(key, 0)

    job = job_of(database, key)
    assert (job.state, job.attempts, job.stage) == (JobState.DONE, 1, "encode")
    assert job.finished_at is not None
    assert sorted(path.name for path in (tmp_path / "results" / key).iterdir()) == [MANIFEST_FILE, "result.dcm"]
    assert n_closings(database, key) == 1
    assert not list((tmp_path / "results" / ".work").iterdir())


def test_a_second_run_of_a_done_job_does_nothing(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a")
    runner(database, tmp_path, Event()).run(key, 0)

    job = run_with(database, tmp_path, never, key)

    assert (job.attempts, n_closings(database, key)) == (1, 1)


def test_a_result_that_is_whole_is_used_instead_of_a_second_inference(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a")
    crash = replace(runner(database, tmp_path, Event()), close=lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):  # dies between the result and its closing
        crash.run(key, 0)
    assert job_of(database, key).state is JobState.RUNNING

    job = run_with(database, tmp_path, never, key)

    assert (job.state, job.attempts, n_closings(database, key)) == (JobState.DONE, 2, 1)


def test_a_result_that_was_damaged_is_made_again_with_the_same_bytes(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a")
    runner(database, tmp_path, Event()).run(key, 0)
    result = tmp_path / "results" / key / "result.dcm"
    before = result.read_bytes()
    result.write_bytes(b"rotten")
    with database.begin() as connection:
        move_job(connection, key, JobState.QUEUED, now=datetime.now(UTC))

    runner(database, tmp_path, Event()).run(key, 1)

    assert job_of(database, key).state is JobState.DONE
    assert result.read_bytes() == before
    assert (tmp_path / "results" / ".damaged" / f"{key}.0" / "result.dcm").read_bytes() == b"rotten"


def test_input_that_cannot_be_processed_is_refused_with_its_reason(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a", "refuse")

    runner(database, tmp_path, Event()).run(key, 0)

    job = job_of(database, key)
    assert (job.state, job.reason) == (JobState.REFUSED, "no tissue found; send another slide")
    assert not (tmp_path / "results" / key).exists()


@pytest.mark.parametrize("kind", ["starve", "bug"])
def test_what_time_may_heal_is_tried_again_and_parked_at_the_ceiling(
    database: Engine, tmp_path: Path, kind: str
) -> None:
    key = add_job(database, "a", kind)
    states = []
    for round_ in range(3):
        runner(database, tmp_path, Event(), most_attempts=3).run(key, round_)
        job = job_of(database, key)
        states.append((job.state, job.round, job.enqueued, job.failed_attempts))

    assert states == [
        (JobState.QUEUED, 1, False, 1),
        (JobState.QUEUED, 2, False, 2),
        (JobState.PARKED, 2, False, 3),
    ]


def test_memory_that_ran_out_is_tried_again(database: Engine, tmp_path: Path) -> None:
    job = run_with(database, tmp_path, fail_with(MemoryError()), add_job(database, "a"))

    assert (job.state, job.reason.split(";")[0]) == (JobState.QUEUED, "memory ran out")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (BundleError("damaged"), JobState.PARKED),
        (UsageError("unknown gene"), JobState.PARKED),
        (EncodingError("wrong"), JobState.PARKED),
        (PeerError("away"), JobState.QUEUED),
    ],
)
def test_what_time_cannot_heal_waits_for_a_person(
    database: Engine, tmp_path: Path, error: VstDicomError, state: JobState
) -> None:
    job = run_with(database, tmp_path, fail_with(error), add_job(database, "a"))

    assert (job.state, job.reason) == (state, str(error))


def test_an_unexpected_failure_quotes_nothing(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a", "bug")

    with structlog.testing.capture_logs() as logs:
        runner(database, tmp_path, Event()).run(key, 0)

    assert "DOE" not in job_of(database, key).reason
    assert "DOE" not in str(logs)
    assert [line["error"] for line in logs if line["log_level"] == "error"] == ["KeyError"]


def test_a_stop_of_the_worker_is_not_held_against_the_job(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a", "slow 5")
    stopping = Event()
    stopping.set()

    runner(database, tmp_path, stopping).run(key, 0)

    job = job_of(database, key)
    assert (job.state, job.round, job.failed_attempts) == (JobState.QUEUED, 1, 0)


def test_a_job_that_kills_its_worker_is_parked_after_its_last_try(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a")
    for _ in range(3):  # each start is counted before anything else happens
        with database.begin() as connection:
            assert start_attempt(connection, key, 0, datetime.now(UTC))

    job = run_with(database, tmp_path, never, key)

    assert job.state is JobState.PARKED
    assert job.reason.startswith("its worker died in each of 3 attempts")


def test_a_person_who_retries_a_parked_job_gives_it_all_tries_again(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a", "starve")
    for round_ in range(3):
        runner(database, tmp_path, Event(), most_attempts=3).run(key, round_)
    with database.begin() as connection:
        move_job(connection, key, JobState.QUEUED, now=datetime.now(UTC))

    job = run_with(database, tmp_path, process, key)

    assert (job.state, job.failed_attempts) == (JobState.QUEUED, 1)


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.PARKED, JobState.REFUSED])
def test_a_person_can_retry_whatever_ended_without_a_result(database: Engine, tmp_path: Path, state: JobState) -> None:
    key = add_job(database, "a")
    with database.begin() as connection:
        if state is JobState.REFUSED:
            start_attempt(connection, key, 0, datetime.now(UTC))
        move_job(connection, key, state, now=datetime.now(UTC))
        move_job(connection, key, JobState.QUEUED, now=datetime.now(UTC))

    runner(database, tmp_path, Event()).run(key, 1)

    assert job_of(database, key).state is JobState.DONE


def test_a_job_that_is_cancelled_while_it_waits_never_starts(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a")
    with database.begin() as connection:
        move_job(connection, key, JobState.CANCELLED, now=datetime.now(UTC))

    job = run_with(database, tmp_path, never, key)

    assert (job.state, job.attempts) == (JobState.CANCELLED, 0)


def test_a_job_that_is_cancelled_while_it_runs_stops_at_the_next_stage(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a")

    def work(job: Job, out: Path, attempt: Attempt) -> None:
        attempt.report("predict", 1, 2)
        with database.begin() as connection:
            move_job(connection, key, JobState.CANCELLED, now=datetime.now(UTC))
        attempt.report("encode", 0, 1)
        never(job, out, attempt)

    job = run_with(database, tmp_path, work, key)

    assert (job.state, n_closings(database, key)) == (JobState.CANCELLED, 0)
    assert not (tmp_path / "results" / key).exists()


def test_an_attempt_that_was_overtaken_is_fenced_before_it_writes(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a")

    def frozen(job: Job, out: Path, attempt: Attempt) -> None:
        process(job, out, attempt)
        runner(database, tmp_path, Event()).run(key, 0)  # somebody else took over meanwhile, and is done
        (out / "result.dcm").write_bytes(b"other bytes")

    job = run_with(database, tmp_path, frozen, key)

    assert (job.state, job.attempts, n_closings(database, key)) == (JobState.DONE, 2, 1)
    assert (tmp_path / "results" / key / "result.dcm").read_bytes() != b"other bytes"


def test_an_attempt_overtaken_between_its_last_check_and_its_writing_keeps_the_first_result(
    database: Engine, tmp_path: Path
) -> None:
    key = add_job(database, "a")
    mine = runner(database, tmp_path, Event())
    first_check = Attempt.check

    def overtaken(attempt: Attempt) -> None:
        first_check(attempt)
        monkey.undo()
        runner(database, tmp_path, Event()).run(key, 0)

    monkey = pytest.MonkeyPatch()
    monkey.setattr(Attempt, "check", overtaken)
    mine.run(key, 0)

    assert (job_of(database, key).state, n_closings(database, key)) == (JobState.DONE, 1)


def test_progress_is_written_at_each_new_stage(database: Engine, tmp_path: Path) -> None:
    key, seen = add_job(database, "a"), []

    def work(job: Job, out: Path, attempt: Attempt) -> None:
        for stage, done in (("predict", 1), ("predict", 2), ("encode", 2)):
            attempt.report(stage, done, 4)
            seen.append((job_of(database, key).stage, job_of(database, key).progress))
        process(job, out, attempt)

    run_with(database, tmp_path, work, key)

    assert seen == [("predict", 0.25), ("predict", 0.25), ("encode", 0.5)]  # the second came within a second


def test_the_store_is_left_as_it_was_when_closing_fails(database: Engine, tmp_path: Path) -> None:
    key = add_job(database, "a")

    def broken(job: Job, folder: Path, hashes: object) -> Callable[[object], None]:
        def write(connection: object) -> None:
            close(job, folder, hashes)(connection)  # type: ignore[arg-type]
            raise EncodingError("an object of the same UID exists")

        return write

    replace(runner(database, tmp_path, Event()), close=broken).run(key, 0)  # type: ignore[arg-type]

    assert (job_of(database, key).state, n_closings(database, key)) == (JobState.PARKED, 0)
