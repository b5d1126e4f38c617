"""Frames by DICOMweb: how many in a second, ours, Orthanc's and of plain files, the same bytes in the same run."""

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from math import ceil
from pathlib import Path
from time import monotonic, sleep
from typing import Final
from urllib.parse import urlsplit

import requests
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import generate_uid

from benchmarks.tables import not_measured
from tests.service.served import Site
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.runtime.orthanc import free_ports, is_installed, run_orthanc
from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide

_SECONDS: Final = 2.0
"""How long each server is asked in each round."""

_SIDE_PX: Final = 8192
"""Of the simulated slide; the larger an instance, the slower is Orthanc."""

_CLIENTS: Final = (1, 4)
_LARGE_BYTES: Final = 300_000_000
_ORTHANC_CACHE_MB: Final = 1024
"""So that Orthanc may keep the instance in memory; usual are 128 MB."""

_START_S: Final = 30.0
_AS_STORED: Final = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
"""What makes Orthanc send frames without decoding them."""

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


@dataclass(frozen=True, slots=True)
class FrameRates:
    """Frames per second, one value per round.

    Parameters
    ----------
    n_bytes
        Size of the instance.
    n_clients
        How many asked at once, each on one connection that stays open.
    ours, orthanc, nginx
        Each server; nginx has the frames as files, which is the limit.
    """

    n_bytes: int
    n_clients: int
    ours: tuple[float, ...]
    orthanc: tuple[float, ...]
    nginx: tuple[float, ...]

    def row(self) -> str:
        """One row of a Markdown table."""
        rates = [_short(statistics.median(each)) for each in (self.nginx, self.ours, self.orthanc)]
        times = [ours / orthanc for ours, orthanc in zip(self.ours, self.orthanc, strict=True)]
        shares = [ours / limit for ours, limit in zip(self.ours, self.nginx, strict=True)]
        return (
            f"| {self.n_bytes / 1e6:.0f} MB | {self.n_clients} | {' | '.join(rates)} "
            f"| **{_short(statistics.median(times))} ×** ({_short(min(times))} to {_short(max(times))}) "
            f"| {statistics.median(shares):.0%} ({min(shares):.0%} to {max(shares):.0%}) |"
        )


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


HEADER: Final = (
    "| instance | clients | nginx, frames as files | ours | Orthanc | ours / Orthanc, median (range) | of nginx |",
    "|---|---|---|---|---|---|---|",
)


def frame_lines(folder: Path, rounds: int) -> Iterator[str]:
    """Compare servers; see `measure_frames`."""
    if not is_installed() or shutil.which("nginx") is None:
        yield from not_measured("Orthanc and nginx (Debian packages orthanc, orthanc-dicomweb, nginx-light)")
        return
    yield (
        "How many frames in a second by the clock, one frame per request, the same bytes in turn, clients and server "
        "on the same processors. Clients keep their connections open; Orthanc is asked for frames as stored, which is "
        "its fastest way."
    )
    yield ""
    yield from HEADER
    for rates in measure_frames(folder, rounds):
        yield rates.row()


def measure_frames(folder: Path, rounds: int) -> Iterator[FrameRates]:
    """Ask three servers in turn for frames of a level, one frame per request.

    Orthanc's speed depends on the size of the file. So the level is measured as it is, and once more as large as those
    of real slides are, by repeating its frames.

    Parameters
    ----------
    folder
        For the slide, and for what the servers keep.
    rounds
        How often each server is asked, in turn.
    """
    recipe = SlideRecipe(MatrixSize(_SIDE_PX, _SIDE_PX), PixelSpacing.from_um(0.5), seed=1)
    written = write_simulated_slide(recipe, folder / "slide-frames", now=datetime(2026, 1, 1, tzinfo=UTC))
    (level,) = (path for path in written.instances if path.name == "level-0.dcm")
    yield from _measure(folder / "as-it-is", level, rounds)
    large = folder / "large.dcm"
    _repeat_frames(level, large)
    yield from _measure(folder / "large", large, rounds)


def _repeat_frames(level: Path, large: Path) -> None:
    """Write a level as a larger one, of the same frames again and again."""
    dataset = dcmread(level)
    n_frames = int(dataset.NumberOfFrames)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=n_frames))
    side = ceil((_LARGE_BYTES / level.stat().st_size) ** 0.5)
    dataset.NumberOfFrames = n_frames * side**2
    dataset.TotalPixelMatrixRows *= side
    dataset.TotalPixelMatrixColumns *= side
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = generate_uid(), generate_uid()
    dataset.PixelData = encapsulate(frames * side**2)
    dataset.save_as(large)


def _measure(folder: Path, level: Path, rounds: int) -> Iterator[FrameRates]:
    header = dcmread(level)
    n_frames = int(header.NumberOfFrames)
    frames = list(generate_frames(header.PixelData, number_of_frames=n_frames))
    place = (
        f"/dicom-web/studies/{header.StudyInstanceUID}/series/{header.SeriesInstanceUID}"
        f"/instances/{header.SOPInstanceUID}/frames/"
    )
    with ExitStack() as stack:
        servers = {
            "nginx": (stack.enter_context(_run_nginx(folder / "nginx", frames)), "/"),
            "orthanc": (stack.enter_context(_run_orthanc(folder / "orthanc", level)), place),
            "ours": (stack.enter_context(_run_ours(folder / "ours", level)), place),
        }
        for url, prefix in servers.values():
            _check(url + prefix, frames)
        for n_clients in _CLIENTS:
            rates: dict[str, list[float]] = {name: [] for name in servers}
            for number in range(rounds + 1):
                for name, (url, prefix) in servers.items():
                    rate = _frames_per_second(url, prefix, n_frames, n_clients)
                    if number:  # the first round is not measured
                        rates[name].append(rate)
            per_server = {name: tuple(each) for name, each in rates.items()}
            yield FrameRates(level.stat().st_size, n_clients, **per_server)


def _check(prefix: str, frames: Sequence[bytes]) -> None:
    """Make sure that a server sends what is stored."""
    for number in (1, len(frames)):
        content = requests.get(f"{prefix}{number}", headers={"Accept": _AS_STORED}, timeout=60).content
        if frames[number - 1].rstrip(b"\0") not in content:
            msg = f"{prefix} sends something else than the stored frame"
            raise AssertionError(msg)


def _frames_per_second(url: str, prefix: str, n_frames: int, n_clients: int) -> float:
    """Ask for frame after frame, each client beginning at another one."""
    deadline = monotonic() + _SECONDS

    def ask(client: int) -> int:
        connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        number, n_got = client * n_frames // n_clients, 0
        while monotonic() < deadline:
            connection.request("GET", f"{prefix}{number % n_frames + 1}", headers={"Accept": _AS_STORED})
            response = connection.getresponse()
            content = response.read()
            if response.status != 200 or not content:
                msg = f"{prefix} answers {response.status}"
                raise AssertionError(msg)
            number, n_got = number + 1, n_got + 1
        connection.close()
        return n_got

    began = monotonic()
    with ThreadPoolExecutor(n_clients) as pool:
        n_got = sum(pool.map(ask, range(n_clients)))
    return n_got / (monotonic() - began)


@contextmanager
def _run_nginx(folder: Path, frames: Sequence[bytes]) -> Iterator[str]:
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
def _run_orthanc(folder: Path, level: Path) -> Iterator[str]:
    with run_orthanc(folder, settings={"MaximumStorageCacheSize": _ORTHANC_CACHE_MB}) as orthanc:
        with level.open("rb") as file:
            requests.post(f"{orthanc.url}/instances", data=file, timeout=300).raise_for_status()
        yield orthanc.url


@contextmanager
def _run_ours(folder: Path, level: Path) -> Iterator[str]:
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
