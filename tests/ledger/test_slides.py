from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.decisions import What, list_decisions, record_decision
from vst_dicom.ledger.slides import (
    add_slide,
    assign_instances,
    change_slide,
    list_due_slides,
    list_slide_instances,
    list_slides,
    list_ungrouped_series,
    mark_as_results,
    read_slide,
)
from vst_dicom.ledger.states import SlideState
from vst_dicom.ledger.tables import instances

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(f"sqlite:///{tmp_path / 'vst.sqlite'}")
    yield made
    made.dispose()


def make_slide(connection: Any, name: str, **values: Any) -> int:
    known = {
        "group_key": name,
        "study_instance_uid": "1",
        "series_instance_uid": "1.1",
        "state": SlideState.COLLECTING,
        "first_instance_at": NOW,
        "last_instance_at": NOW,
    }
    return add_slide(connection, **known | values)


def make_instance(connection: Any, uid: str, series: str = "1.1") -> int:
    values = {
        "sop_instance_uid": uid,
        "revision": 0,
        "sop_class_uid": "1",
        "transfer_syntax_uid": "1",
        "study_instance_uid": "1",
        "series_instance_uid": series,
        "file_name": uid,
        "n_bytes": 1,
        "received_at": NOW,
    }
    return int(connection.execute(insert(instances).values(**values).returning(instances.c.id)).scalar_one())


def test_times_come_back_with_their_zone(database: Engine) -> None:
    with database.begin() as connection:
        slide = read_slide(connection, make_slide(connection, "a", due_at=NOW))

    assert slide is not None
    assert (slide.first_instance_at, slide.due_at) == (NOW, NOW)


def test_only_due_slides_are_read_the_longest_due_first(database: Engine) -> None:
    with database.begin() as connection:
        for name, seconds in (("a", 5), ("b", -5), ("c", 0), ("d", -9)):
            make_slide(connection, name, due_at=NOW + timedelta(seconds=seconds))
        make_slide(connection, "e", due_at=None)

        assert [slide.group_key for slide in list_due_slides(connection, NOW, 10)] == ["d", "b", "c"]
        assert [slide.group_key for slide in list_due_slides(connection, NOW, 1)] == ["d"]


def test_series_are_ungrouped_until_all_their_instances_have_a_place(database: Engine) -> None:
    with database.begin() as connection:
        first, second, other = (
            make_instance(connection, uid, series)
            for uid, series in (("1.1.1", "1.1"), ("1.1.2", "1.1"), ("1.2.1", "1.2"))
        )
        assert list_ungrouped_series(connection, 10) == [("1", "1.1"), ("1", "1.2")]

        slide_id = make_slide(connection, "a")
        assign_instances(connection, [first], slide_id)
        mark_as_results(connection, [other])
        assert list_ungrouped_series(connection, 10) == [("1", "1.1")]

        assign_instances(connection, [second], slide_id)
        assert list_ungrouped_series(connection, 10) == []
        assert [row.id for row in list_slide_instances(connection, slide_id)] == [first, second]


def test_many_instances_are_assigned_at_once(database: Engine) -> None:
    with database.begin() as connection:
        numbers = [make_instance(connection, f"1.1.{n}") for n in range(1203)]
        slide_id = make_slide(connection, "a")
        assign_instances(connection, numbers, slide_id)

        assert len(list_slide_instances(connection, slide_id)) == 1203


def test_slides_are_listed_by_study_and_state(database: Engine) -> None:
    with database.begin() as connection:
        make_slide(connection, "a", study_instance_uid="1")
        make_slide(connection, "b", study_instance_uid="2", state=SlideState.HELD)

        assert [slide.group_key for slide in list_slides(connection, study_instance_uid="2")] == ["b"]
        assert [slide.group_key for slide in list_slides(connection, states=[SlideState.COLLECTING])] == ["a"]


def test_long_reasons_are_cut(database: Engine) -> None:
    with database.begin() as connection:
        slide_id = make_slide(connection, "a")
        change_slide(connection, slide_id, reason="x" * 900)
        record_decision(connection, at=NOW, study_instance_uid="1", what=What.HELD, reason="x" * 900)
        slide = read_slide(connection, slide_id)

        assert slide is not None
        assert len(slide.reason) == 500
        assert len(list_decisions(connection, "1")[0].reason) == 500


def test_the_latest_decisions_are_read_oldest_first(database: Engine) -> None:
    with database.begin() as connection:
        for number in range(5):
            record_decision(connection, at=NOW, study_instance_uid="1", what=What.HELD, reason=str(number))
        record_decision(connection, at=NOW, study_instance_uid="2", what=What.HELD, reason="other")

        assert [row.reason for row in list_decisions(connection, "1", limit=3)] == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT id FROM slides WHERE due_at <= '2030' ORDER BY due_at", "ix_slides_due_at"),
        ("SELECT id FROM instances WHERE slide_id IS NULL AND is_own = 0", "ix_instances_ungrouped"),
    ],
)
def test_what_each_pass_asks_is_answered_by_an_index(database: Engine, query: str, index: str) -> None:
    with database.begin() as connection:
        plan = " ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))

    assert f"INDEX {index}" in plan
