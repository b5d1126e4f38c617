"""Frames by DICOMweb: how many in a second, ours, Orthanc's and of plain files, the same bytes in the same run."""

import shutil
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import requests
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import generate_uid

from benchmarks.frame_servers import run_frame_orthanc, run_nginx, run_web
from benchmarks.tables import not_measured
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.runtime.orthanc import is_installed
from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide

_SECONDS: Final = 2.0
"""How long each server is asked in each round."""

_SIDE_PX: Final = 8192
"""Of the simulated slide; the larger an instance, the slower is Orthanc."""

_CLIENTS: Final = (1, 4)
_LARGE_BYTES: Final = 300_000_000
_AS_STORED: Final = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
"""What makes Orthanc send frames without decoding them."""


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
            "nginx": (stack.enter_context(run_nginx(folder / "nginx", frames)), "/"),
            "orthanc": (stack.enter_context(run_frame_orthanc(folder / "orthanc", level)), place),
            "ours": (stack.enter_context(run_web(folder / "ours", level)), place),
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
