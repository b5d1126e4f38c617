"""The whole way for a visitor: a PACS, this server, one slide, and the results back in the PACS."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from vst_dicom.config import Settings, read_settings
from vst_dicom.deliver.association import DicomPeer
from vst_dicom.deliver.files import find_instance_files
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.domain.errors import InputError, PeerError
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.deliveries import list_result_instances
from vst_dicom.ledger.jobs import Job, list_jobs
from vst_dicom.ledger.slides import list_slides
from vst_dicom.ledger.states import JobState, SlideState
from vst_dicom.runtime.demo_pacs import DemoPacs, StoredInstance, run_demo_pacs
from vst_dicom.runtime.orthanc import free_ports
from vst_dicom.runtime.roles import ROLES, living_roles

Progress = Callable[[str, int, int], None]

_AE_TITLE: Final = "VST_DICOM"
_HOST: Final = "127.0.0.1"
_START_S: Final = 90.0
_WORK_S: Final = 3600.0
_LOOK_S: Final = 0.5
_STOP_S: Final = 60.0


@dataclass(frozen=True, eq=False)
class Demonstration:
    """What came back.

    Parameters
    ----------
    pacs
        The PACS, still running.
    gateway
        Where this server listens.
    page
        Address of the result on the page.
    dicomweb
        Where viewers find slide and results.
    folder
        Result folder of the server.
    summary
        Content of its summary.
    found
        Results that the PACS now has in the slide's study.
    """

    pacs: DemoPacs
    gateway: DicomPeer
    page: str
    dicomweb: str
    folder: Path
    summary: dict[str, Any]
    found: list[StoredInstance]


@contextmanager
def run_demonstration(slide: Path, out: Path, *, progress: Progress) -> Iterator[Demonstration]:
    """Send a slide into a PACS that routes it here, and wait until the results are in the PACS.

    Parameters
    ----------
    slide
        Folder of DICOM files.
    out
        Where PACS and server keep everything.
    progress
        Told the stage, how much of it is done, and how much there is.

    Yields
    ------
    Demonstration
        Once all results are back; PACS and server run until the block ends.

    Raises
    ------
    InputError
        If the slide is refused or held.
    PeerError
        If PACS or server do not start, or the results do not arrive.
    """
    files = find_instance_files([slide])
    port, web_port = free_ports(2)
    gateway = DicomPeer(_AE_TITLE, _HOST, port)
    pacs_folder, server_folder = out / "pacs", out / "server"
    for folder in (pacs_folder, server_folder):
        folder.mkdir(parents=True)
    progress("start PACS and server", 0, 2)
    with run_demo_pacs(pacs_folder, gateway) as pacs:
        progress("start PACS and server", 1, 2)
        config = _write_settings(server_folder, gateway, web_port, pacs.peer)
        settings = read_settings(config)
        with _run_server(config, settings, server_folder / "server.log") as database:
            progress("start PACS and server", 2, 2)
            progress("send slide to PACS", 0, len(files))
            answers = send_instances(pacs.peer, "DEMO", files)
            progress("send slide to PACS", len(answers), len(files))
            study = _study_of(files[0].path)
            job = _wait_for_job(database, progress)
            with database.begin() as connection:
                wanted = frozenset(row.sop_instance_uid for row in list_result_instances(connection, job.key))
            found = wait_for_results(pacs, study, wanted, progress)
            folder = settings.results / job.key
            summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
            web = f"http://{_HOST}:{web_port}"
            page = f"{web}/#/slide/{job.key}"
            yield Demonstration(pacs, gateway, page, f"{web}/dicom-web", folder, summary, found)


def _study_of(path: Path) -> str:
    """Study Instance UID (0020,000D) of a file."""
    from pydicom import dcmread

    return str(dcmread(path, specific_tags=["StudyInstanceUID"], stop_before_pixels=True).StudyInstanceUID)


def _write_settings(folder: Path, gateway: DicomPeer, web_port: int, pacs: DicomPeer) -> Path:
    """Write the settings file that a visitor can read, and keep using."""
    path = folder / "vst-dicom.toml"
    path.write_text(
        f"""data_dir = {json.dumps(str((folder / "data").absolute()))}

[dicom]
ae_title = "{gateway.ae_title}"
host = "{gateway.host}"
port = {gateway.port}

[web]
port = {web_port}

[study]
quiet_s = 3.0

[storage]
reserve_bytes = 1000000000
reserve_fraction = 0.0

[destinations.pacs]
ae_title = "{pacs.ae_title}"
host = "{pacs.host}"
port = {pacs.port}
""",
        encoding="utf-8",
    )
    return path


@contextmanager
def _run_server(config: Path, settings: Settings, log_file: Path) -> Iterator[Engine]:
    """Run ``vst-dicom serve`` until the block ends."""
    command = [sys.executable, "-m", "vst_dicom", "serve", "--config", str(config)]
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = open_database(settings.database)
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # noqa: S603
        try:
            deadline_s = time.monotonic() + _START_S
            while not _is_complete(database, settings):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    msg = f"the server did not start; its log says why: {log_file}"
                    raise PeerError(msg)
                time.sleep(_LOOK_S)
            yield database
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
            database.dispose()


def _is_complete(database: Engine, settings: Settings) -> bool:
    """Whether every role of the server is alive."""
    playing = {executor.split(":")[1] for executor in living_roles(database, settings)}
    return set(ROLES) <= playing


def _wait_for_job(database: Engine, progress: Progress) -> Job:
    """Wait until the slide's job is done, and tell how far it is."""
    deadline_s = time.monotonic() + _WORK_S
    while time.monotonic() < deadline_s:
        with database.begin() as connection:
            jobs = list_jobs(connection)
            held = [slide for slide in list_slides(connection) if slide.state is SlideState.HELD]
        if held:
            raise InputError(held[0].reason)
        for job in jobs:
            if job.state is JobState.DONE:
                return job
            if job.state in (JobState.REFUSED, JobState.PARKED):
                raise InputError(job.reason)
            if job.state is JobState.RUNNING and job.stage:
                progress(job.stage, round(100 * job.progress), 100)
        if not jobs:
            progress("routed by PACS, waiting for the whole slide", 0, 1)
        time.sleep(_LOOK_S)
    msg = f"the slide was not processed within {_WORK_S:g} s; see: vst-dicom jobs list"
    raise PeerError(msg)


def wait_for_results(pacs: DemoPacs, study: str, wanted: frozenset[str], progress: Progress) -> list[StoredInstance]:
    """Wait until the PACS has every object of a result.

    Parameters
    ----------
    pacs, study
        Where to look.
    wanted
        SOP Instance UIDs.
    progress
        Told how many are there.

    Raises
    ------
    PeerError
        If some do not come.
    """
    deadline_s = time.monotonic() + _START_S
    while True:
        found = [one for one in pacs.find_instances(study) if one.sop_instance_uid in wanted]
        progress("results back in PACS", len(found), len(wanted))
        if len(found) == len(wanted):
            return found
        if time.monotonic() > deadline_s:
            msg = f"only {len(found)} of {len(wanted)} objects came back to the PACS within {_START_S:g} s"
            raise PeerError(msg)
        time.sleep(_LOOK_S)
