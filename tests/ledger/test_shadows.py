from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, update

from tests.postgresql import make_database, needs_postgresql, running_postgresql
from tests.runtime.slides import add_slide_job
from vst_dicom.config import Settings
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.instances import count_waiting_jobs
from vst_dicom.ledger.jobs import list_not_enqueued, read_job
from vst_dicom.ledger.shadows import create_shadow, list_shadows, read_shadow, record_figures
from vst_dicom.ledger.slides import latest_job_key, list_slide_jobs
from vst_dicom.ledger.tables import jobs

NOW = datetime(2030, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgresql() as address:
        yield address


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    address = Settings(data_dir=tmp_path).database
    if request.param == "postgresql":
        address = make_database(request.getfixturevalue("server"), f"test_{uuid4().hex}")
    engine = open_database(address)
    yield engine
    engine.dispose()


@pytest.fixture
def key(database: Engine, tmp_path: Path) -> str:
    return add_slide_job(database, Settings(data_dir=tmp_path), 1)


def make_shadow(database: Engine, key: str, sha256: str = "ab") -> str:
    with database.begin() as connection:
        create_shadow(connection, read_job(connection, key), "other", sha256, NOW)
        return list_shadows(connection, key)[-1].job_key


def test_a_shadow_is_a_job_that_goes_last_and_nowhere(database: Engine, key: str) -> None:
    shadow_key = make_shadow(database, key)

    with database.begin() as connection:
        job, of = read_job(connection, shadow_key), read_job(connection, key)
        assert [waiting.key for waiting in list_not_enqueued(connection, 9)] == [key, shadow_key]
    assert (job.bundle, job.genes, job.destinations, job.priority) == ("other", None, (), 1000)
    assert (job.slide_id, job.instance_ids) == (of.slide_id, of.instance_ids)


def test_the_same_bundle_runs_beside_a_job_once(database: Engine, key: str) -> None:
    make_shadow(database, key)
    make_shadow(database, key)
    make_shadow(database, key, "cd")

    with database.begin() as connection:
        assert len(list_shadows(connection, key)) == 2


def test_a_shadow_is_no_job_of_its_slide_and_nobody_waits_for_it(database: Engine, key: str) -> None:
    make_shadow(database, key)

    with database.begin() as connection:
        slide_id = read_job(connection, key).slide_id
        assert latest_job_key(connection, slide_id) == key
        assert [job.key for job in list_slide_jobs(connection, slide_id)] == [key]
        assert count_waiting_jobs(connection) == 1


def test_figures_are_kept(database: Engine, key: str) -> None:
    shadow_key = make_shadow(database, key)

    with database.begin() as connection:
        record_figures(connection, shadow_key, {"median_r": 0.5})
        found = read_shadow(connection, shadow_key)
        assert read_shadow(connection, key) is None
    assert found is not None
    assert (found.of_key, found.figures) == (key, {"median_r": 0.5})


@pytest.mark.parametrize(("state", "removed"), [("done", True), ("queued", False), ("parked", False)])
def test_the_result_of_a_shadow_goes_after_the_one_that_it_stood_beside(
    database: Engine, key: str, state: str, removed: bool
) -> None:
    from vst_dicom.ledger.retention import find_removable_result

    shadow_key = make_shadow(database, key)
    later = datetime(2030, 2, 1, tzinfo=UTC)
    with database.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.key == shadow_key).values(state=state, finished_at=NOW))
        assert find_removable_result(connection, later) is None
        connection.execute(update(jobs).where(jobs.c.key == key).values(state="done", copies_removed_at=NOW))
        assert find_removable_result(connection, later) == (shadow_key if removed else None)


@pytest.mark.parametrize(("state", "kept"), [("queued", True), ("done", True), ("parked", False), ("refused", False)])
def test_a_shadow_that_failed_keeps_no_slide(database: Engine, key: str, state: str, kept: bool) -> None:
    from vst_dicom.ledger.retention import find_removable_instance

    shadow_key = make_shadow(database, key)
    with database.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.key == shadow_key).values(state=state))
        connection.execute(update(jobs).where(jobs.c.key == key).values(state="done", copies_removed_at=NOW))
        found = find_removable_instance(connection, datetime(2031, 1, 1, tzinfo=UTC))
    assert (found is None) is kept
