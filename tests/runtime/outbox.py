"""A ledger with finished jobs and result folders on disk, ready to be delivered."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from tests.deliver.instances import sent, write_instance
from vst_dicom.config import Destination, Settings
from vst_dicom.deliver.association import DicomPeer
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.deliveries import Delivery, create_deliveries, list_deliveries, read_delivery
from vst_dicom.ledger.states import JobState, SlideState
from vst_dicom.ledger.tables import instances, jobs, result_instances, slides

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Outbox:
    """Settings, database and results of a test."""

    def __init__(self, folder: Path, destinations: dict[str, Destination], **delivery: Any) -> None:
        self.settings = Settings(data_dir=folder, destinations=destinations, delivery=delivery)
        folder.mkdir(parents=True, exist_ok=True)
        self.database: Engine = open_database(self.settings.database)
        self._n_instances = 0

    def add_result(
        self, key: str, destinations: Sequence[str], *, priority: int = 100, n_instances: int = 2, now: datetime = NOW
    ) -> list[Delivery]:
        """A finished job of a slide with one spooled instance; its deliveries are due."""
        with self.database.begin() as connection:
            slide = {
                "group_key": key,
                "study_instance_uid": "2.25.100",
                "series_instance_uid": f"2.25.{key}" if key.isdigit() else "2.25.5",
                "state": SlideState.QUEUED,
                "first_instance_at": now,
                "last_instance_at": now,
            }
            slide_id = connection.execute(insert(slides).values(slide)).inserted_primary_key[0]
            job = {
                "key": key,
                "slide_id": slide_id,
                "instance_ids": [self._add_instance(connection, key, slide_id, now)],
                "bundle": "b",
                "destinations": list(destinations),
                "priority": priority,
                "state": JobState.DONE,
                "created_at": now,
                "finished_at": now,
            }
            connection.execute(insert(jobs).values(job))
            for _ in range(n_instances):
                file = write_instance(self.settings.results / key, self._n_instances)
                self._n_instances += 1
                there = sent(file)
                row = {
                    "sop_instance_uid": file.sop_instance_uid,
                    "job_key": key,
                    "sop_class_uid": file.sop_class_uid,
                    "series_instance_uid": there.series_instance_uid,
                    "study_instance_uid": there.study_instance_uid,
                    "file_name": file.path.name,
                    "sha256": hashlib.sha256(file.path.read_bytes()).hexdigest(),
                }
                connection.execute(insert(result_instances).values(row))
            create_deliveries(connection, key, destinations, priority=priority, now=now)
            return list_deliveries(connection, key)

    def read(self, delivery: Delivery) -> Delivery:
        with self.database.connect() as connection:
            return read_delivery(connection, delivery.id)

    def _add_instance(self, connection: Any, key: str, slide_id: int, now: datetime) -> int:
        file = write_instance(self.settings.spool / "00", 500 + self._n_instances)
        row = {
            "sop_instance_uid": f"2.25.9{self._n_instances}",
            "sop_class_uid": file.sop_class_uid,
            "transfer_syntax_uid": file.transfer_syntax_uid,
            "study_instance_uid": "2.25.100",
            "series_instance_uid": "2.25.5",
            "file_name": f"00/{file.path.name}",
            "n_bytes": file.n_bytes,
            "received_at": now,
            "slide_id": slide_id,
        }
        return int(connection.execute(insert(instances).values(row)).inserted_primary_key[0])


def dicom_destination(peer: DicomPeer, **options: Any) -> Destination:
    """Settings for a peer of a test."""
    return Destination(ae_title=peer.ae_title, host=peer.host, port=peer.port, **{"timeout_s": 3.0, **options})
