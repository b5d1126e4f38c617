"""Servers of the viewer tests: Orthanc with our plugin, and viewers as `deploy` starts them."""

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import pytest

from tests.service.served import START, Site
from tests.viewers.planted import PlantedResult
from vst_dicom.deliver.association import DicomPeer
from vst_dicom.deliver.files import find_instance_files
from vst_dicom.deliver.status import Verdict
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.jobs.results import ResultStore
from vst_dicom.ledger.jobs import create_job
from vst_dicom.ledger.results import record_result
from vst_dicom.ledger.slides import list_slides
from vst_dicom.runtime.orthanc import free_ports
from vst_dicom.runtime.processing import read_result_instances

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
_PLUGINS: Final = Path("/usr/share/orthanc/plugins")
_START_S: Final = 300.0
"""Fetching OHIF from the npm registry included."""

REQUIRED: Final = bool(os.environ.get("VST_DICOM_REQUIRE_PROGRAMS"))


def _publish(site: Site, files: Sequence[Path]) -> None:
    """Make files the result of a job for the slide that the site has."""
    key = "c" * 64
    with site.database.begin() as connection:
        (slide,) = list_slides(connection)
        create_job(
            connection,
            key=key,
            slide_id=slide.id,
            predecessor_key=None,
            instance_ids=(),
            bundle="planted",
            genes=None,
            destinations=(),
            priority=100,
            now=START,
        )
    store = ResultStore(site.settings.results)
    folder = store.work_folder(key, 1)
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)
    hashes = store.publish(key, folder)
    with site.database.begin() as connection:
        record_result(connection, key, read_result_instances(store.path(key), hashes))


@contextmanager
def serve_by_orthanc(folder: Path, result: PlantedResult) -> Iterator[str]:
    """Orthanc, started by its documented command, with slide and result; yields the address of its DICOMweb service."""
    port, http_port = free_ports(2)
    options = ["--storage", str(folder), "--port", str(port), "--http-port", str(http_port), "--no-routing"]
    url = f"http://127.0.0.1:{http_port}/dicom-web"
    with _running([str(DEPLOY / "orthanc" / "start"), *options], f"{url}/studies"):
        peer = DicomPeer("PACS", "127.0.0.1", port, timeout_s=15.0)
        answers = send_instances(peer, "TEST", find_instance_files([*result.slide, *result.objects]))
        assert all(answer.verdict is Verdict.ACCEPTED for answer in answers), answers
        yield url


@contextmanager
def serve_by_vst_dicom(folder: Path, result: PlantedResult) -> Iterator[str]:
    """Our own server with slide and result; yields the address of its DICOMweb service."""
    site = Site.make(folder)
    try:
        site.receive(result.slide)
        _publish(site, result.objects)
        with site.serving() as web:
            yield f"{web.url}/dicom-web"
    finally:
        site.database.dispose()


@contextmanager
def run_viewer(viewer: str, dicomweb_url: str, *options: str) -> Iterator[str]:
    """Start a viewer by its documented command; yields its address."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [str(DEPLOY / viewer / "start"), "--dicomweb", dicomweb_url, "--port", str(port), *options]
    with _running(command, f"{url}/"):
        yield url


@contextmanager
def _running(command: list[str], url: str) -> Iterator[None]:
    """Run a command until the block ends, which begins once an address answers.

    Where the npm registry cannot be reached, the test skips, except in CI.
    """
    with TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            deadline_s = time.monotonic() + _START_S
            while not _answers(url):
                if process.poll() is not None:
                    said.seek(0)
                    reason = said.read()
                    if "npm could not fetch" in reason and not REQUIRED:
                        pytest.skip("needs the npm registry")
                    pytest.fail(f"{command[0]} did not start: {reason}")
                assert time.monotonic() < deadline_s, f"{command[0]} did not start in {_START_S:g} s"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(30)


ARCHIVES: Final = {"orthanc": serve_by_orthanc, "vst_dicom": serve_by_vst_dicom}
"""Who serves slide and results to the viewers, by name."""


def missing_programs() -> list[str]:
    """What is not installed of all that viewer tests need."""
    programs = {"chromium": "chromium", "nginx": "nginx-light", "npm": "npm", "Orthanc": "orthanc orthanc-dicomweb"}
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))
    missing = [package for program, package in programs.items() if shutil.which(program, path=path) is None]
    if not (_PLUGINS / "libOrthancPython.so").is_file():
        missing.append("orthanc-python")
    return missing


def _answers(url: str) -> bool:
    opened = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opened.open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
