"""A STOW-RS of 2 GB: the server's memory does not grow with it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import requests
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from tests.service.test_store import BOUNDARY, TYPE
from vst_dicom.runtime.orthanc import free_ports

INSTANCE_BYTES = 100_000_000
N_INSTANCES = 20


def instance(number: int) -> bytes:
    """A file up to the value of its Pixel Data, `INSTANCE_BYTES` long."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    dataset.SOPInstanceUID = f"1.2.3.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.4", "1.2.5"
    out = BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue() + b"\xe0\x7f\x10\x00OB\0\0" + INSTANCE_BYTES.to_bytes(4, "little")


def body() -> Iterator[bytes]:
    pixels = os.urandom(1_000_000)
    for number in range(N_INSTANCES):
        yield f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode() + instance(number)
        for _ in range(INSTANCE_BYTES // len(pixels)):
            yield pixels
        yield b"\r\n"
    yield f"--{BOUNDARY}--\r\n".encode()


def test_two_gigabytes_stream_through_little_memory(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    config = tmp_path / "settings.toml"
    config.write_text(f'data_dir = "{tmp_path / "data"}"\n[web]\nport = {port}\n')
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "vst_dicom", "serve", "--config", str(config), "--role", "web"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(f"{url}/health/live")
            response = requests.post(
                f"{url}/dicom-web/studies", data=body(), headers={"Content-Type": TYPE}, timeout=300
            )
            shutil.rmtree(tmp_path / "data" / "spool", ignore_errors=True)
            peak_kb = peak_memory_kb(server.pid)
        finally:
            server.terminate()
            server.wait(30)

    assert response.status_code == 200, response.text
    assert len(response.json()["00081199"]["Value"]) == N_INSTANCES
    assert peak_kb * 1024 < 150_000_000


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    pytest.fail("the server does not start")


def peak_memory_kb(pid: int) -> int:
    """Peak of the resident memory of a process and its children."""
    family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    lines = [line for each in family for line in Path(f"/proc/{each}/status").read_text().splitlines()]
    return max(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
