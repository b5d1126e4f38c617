from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgresql import make_database, needs_postgresql, running_postgresql


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgresql)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'vst.sqlite'}"
    server = request.getfixturevalue("postgresql_server")
    return make_database(server, "t" + str(abs(hash(str(tmp_path)))))
