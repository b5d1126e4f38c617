"""Servers of frames: plain files by nginx, Orthanc, and this product, each with one level of a slide."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import requests

from tests.service.served import Site
from vst_dicom.runtime.orthanc import free_ports, run_orthanc

_START_S: Final = 30.0
_ORTHANC_CACHE_MB: Final = 1024
"""So that Orthanc may keep the instance in memory; usual are 128 MB."""

_SERVER: Final = """
import sys, threading
from vst_dicom.config import read_settings
from vst_dicom.service.serving import run_web
run_web(read_settings(), threading.Event(), on_ready=lambda port: print(port, file=sys.stderr, flush=True))
"""

_NGINX: Final = """
daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000; default_type application/octet-stream;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}/frames; }}
}}
"""


@contextmanager
def run_nginx(folder: Path, frames: Sequence[bytes]) -> Iterator[str]:
    """Serve frames as files named by their numbers, from 1; yields the address."""
    (folder / "frames").mkdir(parents=True)
    folder.chmod(0o755)
    for number, frame in enumerate(frames, start=1):
        (folder / "frames" / str(number)).write_bytes(frame)
    (port,) = free_ports(1)
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port))
    command = ["nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    if os.geteuid() == 0:
        command += ["-g", "user root;"]
    process = subprocess.Popen(command)  # noqa: S603
    try:
        url = f"http://127.0.0.1:{port}"
        _await_answer(f"{url}/1")
        yield url
    finally:
        process.terminate()
        process.wait()


@contextmanager
def run_frame_orthanc(folder: Path, level: Path) -> Iterator[str]:
    """Serve an instance by Orthanc; yields the address."""
    with run_orthanc(folder, settings={"MaximumStorageCacheSize": _ORTHANC_CACHE_MB}) as orthanc:
        with level.open("rb") as file:
            requests.post(f"{orthanc.url}/instances", data=file, timeout=300).raise_for_status()
        yield orthanc.url


@contextmanager
def run_web(folder: Path, level: Path) -> Iterator[str]:
    """Serve an instance by the role ``web``; yields the address."""
    site = Site.make(folder)
    site.receive([level])
    site.database.dispose()
    environment = os.environ | {"VST_DICOM_DATA_DIR": str(folder), "VST_DICOM_WEB__PORT": "0"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _SERVER], env=environment, stdout=log, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stderr is not None  # noqa: S101
            yield f"http://127.0.0.1:{int(process.stderr.readline())}"
        finally:
            process.kill()
            process.wait()


def _await_answer(url: str) -> None:
    deadline = monotonic() + _START_S
    while True:
        try:
            requests.get(url, timeout=5).raise_for_status()
        except requests.RequestException:
            if monotonic() > deadline:
                raise
            sleep(0.05)
        else:
            return
