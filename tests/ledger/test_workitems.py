from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from vst_dicom.domain.errors import ConflictError, NotFoundError
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.states import ProcedureStepState
from vst_dicom.ledger.workitem_events import add_events, last_event, list_events, mark_sent
from vst_dicom.ledger.workitems import add_workitem, change_workitem, list_workitems, read_workitem

NOW = datetime(2030, 1, 2, tzinfo=UTC)


@pytest.fixture
def database(ledger_url: str) -> Iterator[Engine]:
    engine = open_database(ledger_url)
    yield engine
    engine.dispose()


def add(database: Engine, uid: str) -> None:
    with database.begin() as connection:
        add_workitem(connection, uid, {"00741000": {"vr": "CS"}}, is_ours=True, now=NOW)


def test_a_work_item_is_claimed_once(database: Engine) -> None:
    add(database, "1.1")
    with database.begin() as connection:
        seen = read_workitem(connection, "1.1")

    def claim(transaction_uid: str) -> bool:
        with database.begin() as connection:
            state = ProcedureStepState.IN_PROGRESS
            return change_workitem(connection, seen, state=state, transaction_uid=transaction_uid)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(claim, ["1", "2", "3", "4"])) == [False, False, False, True]


def test_a_uid_names_one_work_item(database: Engine) -> None:
    add(database, "1.1")

    with pytest.raises(ConflictError):
        add(database, "1.1")
    with database.begin() as connection, pytest.raises(NotFoundError):
        read_workitem(connection, "1.2")


def test_work_items_are_listed_newest_first_page_by_page(database: Engine) -> None:
    for number in range(3):
        add(database, f"1.{number}")

    with database.begin() as connection:
        first = list_workitems(connection, limit=2)
        second = list_workitems(connection, limit=2, before=first[-1].id)
        none = list_workitems(connection, state="COMPLETED", limit=9)
    assert [one.sop_instance_uid for one in first + second] == ["1.2", "1.1", "1.0"]
    assert none == []


def test_events_come_in_order_until_they_were_sent(database: Engine) -> None:
    with database.begin() as connection:
        add_events(connection, ["ONE", "TWO", "ONE"], [{"n": 1}, {"n": 2}], NOW)
        newest = last_event(connection)
        first, second = list_events(connection, "ONE", newest, 9)
        mark_sent(connection, [first.id])
        assert (first.report, second.report) == ({"n": 1}, {"n": 2})
        assert list_events(connection, "ONE", newest, 9) == [second]
        assert list_events(connection, "ONE", 0, 9) == [first, second]
        assert list_events(connection, "THREE", 0, 9) == []
