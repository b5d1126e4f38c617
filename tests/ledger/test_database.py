from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import inspect, text

from vst_dicom.domain.errors import ResourceError, UsageError
from vst_dicom.ledger.database import open_database


def test_processes_that_start_together_make_the_tables_once(ledger_url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        engines = list(pool.map(open_database, [ledger_url] * 8))

    assert "jobs" in inspect(engines[0]).get_table_names()
    for engine in engines:
        engine.dispose()


def test_sqlite_writes_ahead_and_synchronizes_fully(tmp_path: object) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/vst.sqlite")
    with engine.begin() as connection:
        found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]
    engine.dispose()

    assert found == ["wal", 2]


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="database_url"):
        open_database(url)


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: object) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ResourceError, match="does not answer") as caught:
        open_database("postgresql+psycopg://user:secret@127.0.0.1:1/name")

    assert "secret" not in str(caught.value)
