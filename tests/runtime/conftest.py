from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.spooled import Gateway


@pytest.fixture
def gateway(ledger_url: str, tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway.make(tmp_path / "data", ledger_url)
    yield made
    made.database.dispose()
