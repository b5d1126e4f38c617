"""A stand-in for the main path: small files whose bytes follow from the key, and misbehavior on demand.

The first letter of a slide's bundle name says what happens. Run as a program, it is a working process.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from threading import Event

from sqlalchemy import Connection, Engine, insert, select

from vst_dicom.domain.errors import ResourceError, TissueError
from vst_dicom.jobs.attempt import Attempt, JobRunner
from vst_dicom.jobs.engine import Engine as JobEngine
from vst_dicom.jobs.outbox import enqueue_due
from vst_dicom.jobs.results import ResultStore
from vst_dicom.jobs.slot import held_slot
from vst_dicom.jobs.takeover import Takeover
from vst_dicom.jobs.worker import WorkerSettings, running_worker
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.heartbeats import beat
from vst_dicom.ledger.jobs import Job
from vst_dicom.ledger.tables import decisions, result_instances


def process(job: Job, out: Path, attempt: Attempt) -> None:
    kind, _, seconds = job.bundle.partition(" ")
    for step in range(n_steps := max(1, int(float(seconds or 0) * 20))):
        attempt.report("predict", step, n_steps)
        time.sleep(0.05 if seconds else 0)
    attempt.report("encode", 0, 1)
    if kind == "crash":
        os._exit(17)
    if kind == "refuse":
        raise TissueError("no tissue found; send another slide")
    if kind == "starve":
        raise ResourceError("memory ran out")
    if kind == "bug":
        raise KeyError("DOE^JANE")
    out.mkdir()
    (out / "result.dcm").write_bytes(f"{job.key} {job.started_at}".encode())


def close(job: Job, folder: Path, hashes: Mapping[str, str]) -> Callable[[Connection], None]:
    """Write a row that cannot be written twice with other bytes, and one per closing."""

    def write(connection: Connection) -> None:
        row = {
            "sop_instance_uid": job.key[:60],
            "job_key": job.key,
            "sop_class_uid": "1.2",
            "series_instance_uid": "1.2.3",
            "study_instance_uid": "1.2",
            "file_name": "result.dcm",
            "sha256": hashes["result.dcm"],
        }
        known = select(result_instances.c.sha256).where(result_instances.c.job_key == job.key)
        if (before := connection.execute(known).scalar()) is None:
            connection.execute(insert(result_instances).values(row))
        else:
            assert before == row["sha256"]
        closed = {"at": job.created_at, "study_instance_uid": "1.2", "job_key": job.key, "what": "closed", "reason": ""}
        connection.execute(insert(decisions).values(closed))

    return write


def runner(database: Engine, folder: Path, stopping: Event, *, most_attempts: int = 3) -> JobRunner:
    return JobRunner(database, ResultStore(folder / "results"), process, close, most_attempts, stopping)


def work(url: str, folder: Path, host: str, seconds: float, dead_after_s: float) -> None:
    """Be a worker: take jobs, beat, take over, until the time is over."""
    database = open_database(url)
    stopping = Event()
    name = f"{host}:worker-gpu:0"
    with held_slot(folder / "locks", name), JobEngine(url) as engine:
        with database.begin() as connection:
            beat(connection, name, "worker-gpu")
        settings = WorkerSettings(url, name, process=runner(database, folder, stopping).run, poll_s=0.1, shutdown_s=1)
        takeover = Takeover(database, engine, name, timedelta(seconds=dead_after_s))
        with running_worker(settings) as worker:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                with database.begin() as connection:
                    beat(connection, name, "worker-gpu")
                takeover.look(worker.active())
                enqueue_due(database, engine)
                time.sleep(0.3)
            stopping.set()


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
