"""A slide received through the ledger, results published beside it, and a server that shows both."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import requests
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID
from sqlalchemy import Engine, func, select

from tests.pipeline.brightness import BrightnessPredictor
from vst_dicom.config import Settings
from vst_dicom.jobs.attempt import JobRunner
from vst_dicom.jobs.results import ResultStore
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.instances import ReceivedInstance, record_instance
from vst_dicom.ledger.jobs import create_job, list_jobs
from vst_dicom.ledger.results import record_result
from vst_dicom.ledger.slides import ask_to_run_now, list_slides
from vst_dicom.ledger.states import JobState
from vst_dicom.ledger.tables import instances
from vst_dicom.receive.spool import Spool
from vst_dicom.runtime.coordinator import Coordinator
from vst_dicom.runtime.processing import SlideProcessor, read_result_instances
from vst_dicom.service.serving import run_web

START = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Site:
    """Folders and ledger of a server."""

    settings: Settings
    database: Engine

    @classmethod
    def make(cls, folder: Path, **web: Any) -> "Site":
        folder.mkdir(parents=True, exist_ok=True)
        settings = Settings(data_dir=folder, web={"port": 0, **web})  # type: ignore[arg-type]
        return cls(settings, open_database(settings.database))

    def receive(self, paths: Sequence[Path], *, accept: bool = True) -> None:
        """Take files as the receiver does, and have the coordinator decide about them."""
        spool = Spool(self.settings.spool)
        for path in paths:
            incoming = spool.begin(path.read_bytes())
            file_name = spool.keep(incoming)
            incoming.close()
            header = dcmread(path, stop_before_pixels=True)
            received = ReceivedInstance(
                sop_instance_uid=header.SOPInstanceUID,
                sop_class_uid=header.SOPClassUID,
                study_instance_uid=header.StudyInstanceUID,
                series_instance_uid=header.SeriesInstanceUID,
                transfer_syntax_uid=header.file_meta.TransferSyntaxUID,
                file_name=file_name,
                n_bytes=path.stat().st_size,
            )
            record_instance(self.database, received, lambda _: False, START + timedelta(seconds=self._count()))
        if accept:
            self.decide()

    def decide(self) -> None:
        """Group what came, and make jobs of it at once."""
        coordinator = Coordinator(
            self.database, self.settings, bundle_sha256=lambda _: "b" * 64, own_device_uids=frozenset
        )
        coordinator.coordinate(START)
        with self.database.begin() as connection:
            ask_to_run_now(connection, [slide.id for slide in list_slides(connection)], START)
        coordinator.coordinate(START)

    def process(self) -> str:
        """Run the first job through the real main path, with a stand-in for the model; returns its key."""
        with self.database.begin() as connection:
            (job,) = list_jobs(connection)
        processor = SlideProcessor(self.database, self.settings, lambda _bundle: BrightnessPredictor())  # type: ignore[arg-type,return-value]
        store = ResultStore(self.settings.results)
        JobRunner(self.database, store, processor.process, processor.close, 3, Event()).run(job.key, job.round)
        with self.database.begin() as connection:
            done = list_jobs(connection)[0]
        assert done.state is JobState.DONE, done.reason
        return done.key

    def add_object(self, dataset: Dataset, transfer_syntax_uid: str = "1.2.840.10008.1.2.1") -> str:
        """Publish one object of any kind as the result of a job of its own; returns the key."""
        key = hashlib.sha256(dataset.SOPInstanceUID.encode()).hexdigest()
        with self.database.begin() as connection:
            slide = list_slides(connection)[0]
            values = {"slide_id": slide.id, "predecessor_key": None, "instance_ids": (), "bundle": "b", "genes": None}
            create_job(connection, key=key, destinations=(), priority=100, now=START, **values)
        store = ResultStore(self.settings.results)
        out = store.work_folder(key, 1)
        out.mkdir()
        dataset.StudyInstanceUID = slide.study_instance_uid
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
        dcmwrite(out / "object.dcm", dataset, enforce_file_format=True)
        hashes = store.publish(key, out)
        with self.database.begin() as connection:
            record_result(connection, key, read_result_instances(store.path(key), hashes))
        return key

    @contextmanager
    def serving(self) -> Iterator["Web"]:
        """Run the role until the block ends."""
        stop, ready, ports = Event(), Event(), []

        def note(port: int) -> None:
            ports.append(port)
            ready.set()

        thread = Thread(target=run_web, args=(self.settings, stop), kwargs={"on_ready": note})
        thread.start()
        try:
            assert ready.wait(30)
            with requests.Session() as session:
                yield Web(f"http://127.0.0.1:{ports[0]}", session)
        finally:
            stop.set()
            thread.join(30)

    def _count(self) -> int:
        with self.database.begin() as connection:
            return connection.execute(select(func.count()).select_from(instances)).scalar_one()


@dataclass
class Web:
    """A running server."""

    url: str
    session: requests.Session

    def get(self, path: str, accept: str = "*/*", **options: Any) -> requests.Response:
        headers = {"Accept": accept, **options.pop("headers", {})}
        return self.session.get(f"{self.url}{path}", headers=headers, timeout=30, **options)

    def json(self, path: str, **options: Any) -> Any:
        response = self.get(f"/dicom-web{path}", "application/dicom+json", **options)
        assert response.status_code == 200, response.text
        return response.json()


def parts_of(response: requests.Response) -> list[tuple[str, bytes]]:
    """Content type and content of each part of a response."""
    assert response.headers["Content-Type"].startswith("multipart/related")
    boundary = response.headers["Content-Type"].rpartition("boundary=")[2].encode()
    pieces = response.content.split(b"--" + boundary)
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    parts = []
    for piece in pieces[1:-1]:
        head, _, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        parts.append((head.decode().removeprefix("Content-Type: "), body.removesuffix(b"\r\n")))
    return parts
