"""A listener in this process, with a spool and a database of its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.tables import decisions, instances
from vst_dicom.receive.limits import Limits
from vst_dicom.receive.listener import Listener, ListenerSettings, ReportHandler
from vst_dicom.receive.spool import Spool
from vst_dicom.receive.storing import Storage

QUICK = Limits(request_s=1.0, idle_s=2.0, pdu_base_s=0.7, pdu_bytes_per_s=1_000_000, handshake_s=1.0)
"""Limits that a test can wait for."""

DEFAULT = ListenerSettings(limits=QUICK)


@dataclass
class Receiver:
    """A running listener and what is behind it."""

    listener: Listener
    storage: Storage
    engine: Engine

    @property
    def port(self) -> int:
        return self.listener.port

    def rows(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(instances).order_by(instances.c.id)))

    def alerts(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(decisions.c.reason).where(decisions.c.what == "alert")).scalars())

    def files(self) -> list[Path]:
        """Everything in the spool, whole or not."""
        return sorted(path for path in self.storage.spool.folder.rglob("*") if path.is_file())

    def parts(self) -> list[Path]:
        return [path for path in self.files() if path.suffix == ".part"]


def make_storage(folder: Path, admit: Callable[[], None] = lambda: None) -> Storage:
    """Spool and database in a folder."""
    engine = open_database(f"sqlite:///{folder / 'vst.sqlite'}")
    return Storage(Spool(folder / "spool"), engine, admit, lambda: datetime.now(UTC))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Receiver]]:
    """Start a listener with given settings."""
    started: list[Receiver] = []

    def run(
        settings: ListenerSettings = DEFAULT,
        admit: Callable[[], None] = lambda: None,
        on_report: ReportHandler | None = None,
    ) -> Receiver:
        storage = make_storage(tmp_path, admit)
        listener = Listener(replace(settings, port=0), storage, on_report)
        started.append(Receiver(listener, storage, storage.engine))
        return started[-1]

    yield run
    for receiver in started:
        receiver.listener.stop(patience_s=0.2)
        assert receiver.listener.n_connections == 0
        receiver.engine.dispose()


@pytest.fixture
def receiver(start: Callable[..., Receiver]) -> Receiver:
    """A listener with quick limits that takes everything."""
    return start()
