from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select

from vst_dicom.ledger.database import open_database, utc
from vst_dicom.ledger.instances import (
    Outcome,
    ReceivedInstance,
    Revision,
    count_waiting_jobs,
    find_revisions,
    record_instance,
    recorded_file_names,
)
from vst_dicom.ledger.states import JobState
from vst_dicom.ledger.tables import decisions, instances, jobs, slides

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FIRST = ReceivedInstance(
    "1.2.3", "1.2", "1.4", "1.5", "1.2.840.10008.1.2.1", "aa/1.dcm", 5 << 30, "SCANNER", "10.0.0.1"
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(f"sqlite:///{tmp_path / 'vst.sqlite'}")
    yield made
    made.dispose()


def never(_: Revision) -> bool:
    return False


def test_a_new_instance_is_recorded_as_it_came(engine: Engine) -> None:
    recorded = record_instance(engine, FIRST, never, NOW)

    assert (recorded.outcome, recorded.revision) == (Outcome.NEW, 0)
    with engine.connect() as connection:
        row = connection.execute(select(instances)).one()
        assert recorded_file_names(connection) == {"aa/1.dcm"}
    assert (row.id, row.sop_instance_uid, row.n_bytes) == (recorded.instance_id, "1.2.3", 5 << 30)
    assert (row.calling_ae, row.peer_address, row.slide_id, row.is_own) == ("SCANNER", "10.0.0.1", None, False)
    assert utc(row.received_at) == NOW


def test_the_same_bytes_are_recorded_once(engine: Engine) -> None:
    first = record_instance(engine, FIRST, never, NOW)

    again = record_instance(engine, replace(FIRST, file_name="bb/2.dcm"), lambda known: known.n_bytes == 5 << 30, NOW)

    assert (again.outcome, again.instance_id) == (Outcome.DUPLICATE, first.instance_id)
    with engine.connect() as connection:
        assert recorded_file_names(connection) == {"aa/1.dcm"}
        assert connection.execute(select(decisions)).all() == []


def test_other_bytes_become_the_next_revision_with_an_alert(engine: Engine) -> None:
    record_instance(engine, FIRST, never, NOW)

    changed = record_instance(engine, replace(FIRST, file_name="bb/2.dcm"), never, NOW)

    assert (changed.outcome, changed.revision) == (Outcome.CHANGED, 1)
    with engine.connect() as connection:
        assert [revision.file_name for revision in find_revisions(connection, "1.2.3")] == ["aa/1.dcm", "bb/2.dcm"]
        (alert,) = connection.execute(select(decisions)).all()
    assert (alert.what, alert.study_instance_uid) == ("alert", "1.4")


def test_a_return_to_an_earlier_content_is_a_duplicate(engine: Engine) -> None:
    first = record_instance(engine, FIRST, never, NOW)
    record_instance(engine, replace(FIRST, file_name="bb/2.dcm"), never, NOW)

    back = record_instance(engine, replace(FIRST, file_name="cc/3.dcm"), lambda known: known.revision == 0, NOW)

    assert (back.outcome, back.instance_id) == (Outcome.DUPLICATE, first.instance_id)


def test_rivals_agree_on_who_came_first(engine: Engine) -> None:
    def record(number: int) -> Outcome:
        return record_instance(
            engine, replace(FIRST, file_name=f"aa/{number}.dcm"), lambda known: True, NOW
        ).outcome  # fmt: skip

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(record, range(16)))

    assert sorted(outcomes) == [Outcome.DUPLICATE] * 15 + [Outcome.NEW]


def test_rivals_with_other_bytes_get_a_revision_each(engine: Engine) -> None:
    def record(number: int) -> int:
        return record_instance(engine, replace(FIRST, file_name=f"aa/{number}.dcm"), never, NOW).revision

    with ThreadPoolExecutor(8) as pool:
        revisions = list(pool.map(record, range(16)))

    assert sorted(revisions) == list(range(16))


def test_only_queued_jobs_count_as_waiting(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(slides).values(
                id=1, group_key="k", study_instance_uid="1", series_instance_uid="2", state="queued",
                first_instance_at=NOW, last_instance_at=NOW,
            )
        )  # fmt: skip
        for number, state in enumerate([JobState.QUEUED, JobState.QUEUED, JobState.RUNNING, JobState.DONE]):
            connection.execute(
                insert(jobs).values(
                    key=str(number), slide_id=1, instance_ids=[], bundle="b", destinations=[], state=state,
                    created_at=NOW,
                )
            )  # fmt: skip
        assert count_waiting_jobs(connection) == 2
