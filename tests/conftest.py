from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import _config

from tests.postgresql import empty_database, make_database, needs_postgresql, running_postgresql


@pytest.fixture(scope="session")
def postgresql_database() -> Iterator[str]:
    with running_postgresql() as server:
        yield make_database(server, "tests")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgresql)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'vst.sqlite'}"
    url: str = request.getfixturevalue("postgresql_database")
    empty_database(url)
    return url


@pytest.fixture(autouse=True, scope="module")
def pynetdicom_as_it_was() -> Iterator[None]:
    """Put back what a module's tests set for the whole process: a listener changes how every acceptor in it works."""
    names = [name for name in vars(_config) if name.isupper()]
    before = {name: getattr(_config, name) for name in names}
    yield
    for name, value in before.items():
        setattr(_config, name, value)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep exported graphs and choices of engine out of the user's cache, and no older ones in the tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vst_dicom.predict.engine_choice.cache_folder", lambda: folder)
        yield
