from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.runtime.slides import add_slide_job
from vst_dicom.config import Settings
from vst_dicom.ledger.coarse_jobs import coarse_key, create_coarse, find_coarse, is_coarse
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.jobs import list_not_enqueued, read_job


@pytest.fixture
def database(tmp_path: Path) -> Engine:
    return open_database(Settings(data_dir=tmp_path).database)


def test_a_coarse_job_asks_for_the_same_one_step_ahead(database: Engine, tmp_path: Path) -> None:
    key = add_slide_job(database, Settings(data_dir=tmp_path), 1)

    with database.begin() as connection:
        whole = read_job(connection, key)
        for _ in range(2):
            create_coarse(connection, whole, "earlier")
        coarse = find_coarse(connection, key)
        waiting = [job.key for job in list_not_enqueued(connection, 9)]
        known = (is_coarse(connection, coarse_key(key)), is_coarse(connection, key))

    assert coarse is not None
    assert (coarse.key, coarse.predecessor_key, coarse.priority) == (coarse_key(key), "earlier", whole.priority - 1)
    same = ("slide_id", "instance_ids", "bundle", "genes", "destinations")
    assert [getattr(coarse, name) for name in same] == [getattr(whole, name) for name in same]
    assert sorted(waiting) == sorted([coarse.key, key])
    assert known == (True, False)


def test_a_job_that_answers_at_once_has_no_coarse_one(database: Engine, tmp_path: Path) -> None:
    key = add_slide_job(database, Settings(data_dir=tmp_path), 1)

    with database.begin() as connection:
        assert find_coarse(connection, key) is None
