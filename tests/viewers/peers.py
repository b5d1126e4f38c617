"""Servers of the viewer tests: Orthanc with our plugin, and viewers as `deploy` starts them."""

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.peers.orthanc import Orthanc, peer, run_orthanc
from vst_dicom.deliver.files import find_instance_files
from vst_dicom.deliver.status import Verdict
from vst_dicom.deliver.store_scu import send_instances
from vst_dicom.runtime.orthanc import free_ports

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
_PLUGINS: Final = Path("/usr/share/orthanc/plugins")
_START_S: Final = 300.0
"""Fetching OHIF from the npm registry included."""

REQUIRED: Final = bool(os.environ.get("VST_DICOM_REQUIRE_PROGRAMS"))


@contextmanager
def run_orthanc_with(folder: Path, instances: list[Path]) -> Iterator[Orthanc]:
    """Start Orthanc as ``deploy/orthanc`` says and send it some instances."""
    settings = {
        "Plugins": [str(_PLUGINS / "libOrthancPython.so"), str(_PLUGINS / "libOrthancDicomWeb.so")],
        "PythonScript": str(DEPLOY / "orthanc" / "bulk_data.py"),
    }
    with run_orthanc(folder, settings=settings) as orthanc:
        answers = send_instances(peer(orthanc), "TEST", find_instance_files(instances))
        assert all(answer.verdict is Verdict.ACCEPTED for answer in answers), answers
        yield orthanc


@contextmanager
def run_viewer(viewer: str, dicomweb_url: str) -> Iterator[str]:
    """Start a viewer by its documented command; yields its address.

    Where the npm registry cannot be reached, the test skips, except in CI.
    """
    (port,) = free_ports(1)
    command = [str(DEPLOY / viewer / "start"), "--dicomweb", dicomweb_url, "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline_s = time.monotonic() + _START_S
        while not _answers(url):
            if process.poll() is not None:
                said = process.stderr.read() if process.stderr else ""
                if "npm could not fetch" in said and not REQUIRED:
                    pytest.skip(f"needs the npm registry, for {viewer}")
                pytest.fail(f"{viewer} did not start: {said}")
            assert time.monotonic() < deadline_s, f"{viewer} did not start in {_START_S:g} s"
            time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


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
