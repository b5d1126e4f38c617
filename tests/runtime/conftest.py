from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgresql import make_database, needs_postgresql, running_postgresql
from tests.runtime.spooled import Gateway


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgresql)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'vst.sqlite'}"
    return make_database(request.getfixturevalue("postgresql_server"), "t" + str(abs(hash(str(tmp_path)))))


@pytest.fixture
def gateway(ledger_url: str, tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway.make(tmp_path / "data", ledger_url)
    yield made
    made.database.dispose()
