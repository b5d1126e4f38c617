"""A data folder with a ledger, and a stand-in for the receiver that fills both."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydicom.dataset import Dataset
from sqlalchemy import Engine, func, insert, select

from tests.results import make_gene
from tests.study.headers import write_header
from vst_dicom.config import Settings
from vst_dicom.domain.expression import GeneStatus
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.decisions import Decision, list_decisions
from vst_dicom.ledger.jobs import Job, list_jobs
from vst_dicom.ledger.slides import Slide, ask_to_run_now, list_slides
from vst_dicom.ledger.tables import instances
from vst_dicom.runtime.coordinator import Coordinator

BUNDLE = SimpleNamespace(
    manifest=SimpleNamespace(version="1"), genes=(make_gene("ERBB2"), make_gene("HIDDEN", GeneStatus.HIDDEN))
)
"""As much of a bundle as settings and rules are checked against."""

START = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Time so long after the start."""
    return START + timedelta(seconds=seconds)


@dataclass
class Gateway:
    """Ledger, spool and settings; `receive` does what the receiver does with an instance."""

    folder: Path
    settings: Settings
    database: Engine
    bundle_sha256: dict[str, str] = field(default_factory=lambda: {"her2st-lite": "b" * 64})
    own_device_uids: frozenset[str] = frozenset({"2.25.7"})
    _hashes: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, url: str = "", **values: Any) -> "Gateway":
        """Make everything anew."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = Settings(data_dir=folder, database_url=url, **values)
        return cls(folder, settings, open_database(settings.database))

    def receive(self, header: Dataset, seconds: float = 0.0, *, sender: str = "SCANNER1") -> Path | None:
        """Spool an instance; None if exactly this one came before."""
        uid = str(header.SOPInstanceUID)
        number = sum(map(len, self._hashes.values()))
        file_name = f"00/{number:032x}.dcm"
        path = write_header(self.settings.spool / file_name, header)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        known = self._hashes.setdefault(uid, [])
        if sha256 in known:
            path.unlink()
            return None
        known.append(sha256)
        with self.database.begin() as connection:
            connection.execute(
                insert(instances).values(
                    sop_instance_uid=uid,
                    revision=len(known) - 1,
                    sop_class_uid=str(header.SOPClassUID),
                    transfer_syntax_uid="1.2.840.10008.1.2.1",
                    study_instance_uid=str(header.StudyInstanceUID),
                    series_instance_uid=str(header.SeriesInstanceUID),
                    file_name=file_name,
                    n_bytes=path.stat().st_size,
                    received_at=at(seconds),
                    calling_ae=sender,
                    peer_address="10.0.0.7",
                )
            )
        return path

    def coordinator(self) -> Coordinator:
        """Make a coordinator without memory."""
        return Coordinator(
            self.database,
            self.settings,
            bundle_sha256=self.bundle_sha256.__getitem__,
            own_device_uids=lambda: self.own_device_uids,
        )

    def coordinate(self, seconds: float) -> int:
        """Make one pass."""
        return self.coordinator().coordinate(at(seconds))

    def run_now(self, seconds: float) -> None:
        """Ask not to wait, for all slides."""
        with self.database.begin() as connection:
            ask_to_run_now(connection, [slide.id for slide in list_slides(connection)], at(seconds))

    @property
    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        with self.database.begin() as connection:
            return sorted(list_jobs(connection, limit=10_000), key=lambda job: (job.created_at, job.key))

    @property
    def slides(self) -> list[Slide]:
        """All slides in the order of their numbers."""
        with self.database.begin() as connection:
            return sorted(list_slides(connection, limit=10_000), key=lambda slide: slide.id)

    @property
    def slide(self) -> Slide:
        """The only slide."""
        (slide,) = self.slides
        return slide

    def decisions(self, study_instance_uid: str) -> list[Decision]:
        """All about a study, oldest first."""
        with self.database.begin() as connection:
            return list_decisions(connection, study_instance_uid)

    def count_own(self) -> int:
        """How many instances were kept out."""
        with self.database.begin() as connection:
            return connection.execute(
                select(func.count()).select_from(instances).where(instances.c.is_own.is_(True))
            ).scalar_one()
