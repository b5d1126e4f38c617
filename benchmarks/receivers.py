"""Who can receive an instance: a bare socket, DCMTK, Orthanc and this product, each in a process of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.processes import ROOT, await_port, child_named
from vst_dicom.runtime.orthanc import free_ports, is_installed, run_orthanc

MAXIMUM_PDU_BYTES: Final = 131_072
_SEND_S: Final = 600.0

_SOCKET: Final = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], file=sys.stderr, flush=True)
buffer = memoryview(bytearray(131072))
while True:
    connection, _ = server.accept()
    with connection, open(sys.argv[1] + "/received", "wb", buffering=0) as file:
        while (n := connection.recv_into(buffer, 0, socket.MSG_WAITALL)):
            file.write(buffer[:n])
"""

_SENDER: Final = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as connection, open(sys.argv[1], "rb") as file:
    connection.sendfile(file)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
"""


@dataclass(frozen=True, slots=True)
class Receiving:
    """A receiver at work.

    Parameters
    ----------
    pid
        Of the one process that receives.
    port
        Where it listens on loopback.
    """

    pid: int
    port: int


@dataclass(frozen=True, slots=True)
class Receiver:
    """One of those that are compared.

    Parameters
    ----------
    name
        In the table.
    run
        Starts it with a folder for what it receives.
    send
        Sends files to a port, one after the other.
    """

    name: str
    run: Callable[[Path], AbstractContextManager[Receiving]]
    send: Callable[[list[Path], int], None]


def receivers() -> Iterator[Receiver]:
    """Those that are installed here; this product comes last."""
    yield Receiver("socket → file, Python", _run_socket, _send_bytes)
    if shutil.which("storescp"):
        yield Receiver("storescp +B", _run_storescp, send_dicom)
    if is_installed():
        yield Receiver("Orthanc", _run_orthanc, send_dicom)
    yield Receiver("ours", run_ours, send_dicom)


def send_dicom(files: list[Path], port: int) -> None:
    """Send files over one association, as DCMTK's ``storescu`` does."""
    start_sending(files, port).wait(_SEND_S)


def start_sending(files: list[Path], port: int) -> "subprocess.Popen[bytes]":
    """Begin to send files over one association."""
    command = ["storescu", "-R", "-xy", "-aec", "VST_DICOM", "-pdu", str(MAXIMUM_PDU_BYTES), "--max-send-pdu",
               str(MAXIMUM_PDU_BYTES), "127.0.0.1", str(port), *map(str, files)]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603


def _send_bytes(files: list[Path], port: int) -> None:
    for file in files:
        command = [sys.executable, "-c", _SENDER, str(file), str(port)]
        subprocess.run(command, check=True, timeout=_SEND_S)  # noqa: S603


@contextmanager
def _run_socket(folder: Path) -> Iterator[Receiving]:
    with _started([sys.executable, "-c", _SOCKET, str(folder)]) as process:
        yield Receiving(process.pid, _stated_port(process))


@contextmanager
def _run_storescp(folder: Path) -> Iterator[Receiving]:
    (port,) = free_ports(1)
    with _started(["storescp", "+B", "+xa", "-pdu", str(MAXIMUM_PDU_BYTES), "-od", str(folder), str(port)]) as process:
        await_port(port)
        yield Receiving(process.pid, port)


@contextmanager
def _run_orthanc(folder: Path) -> Iterator[Receiving]:
    settings = {"MaximumPduLength": MAXIMUM_PDU_BYTES, "DicomCheckCalledAet": False}
    with run_orthanc(folder, settings=settings) as orthanc:
        yield Receiving(child_named("Orthanc"), orthanc.port)


@contextmanager
def run_ours(folder: Path) -> Iterator[Receiving]:
    """Play the role ``receiver`` as the server does, with its data in a folder."""
    (port,) = free_ports(1)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "VST_DICOM_DATA_DIR": str(folder),
        "VST_DICOM_DICOM__PORT": str(port),
        "VST_DICOM_STORAGE__RESERVE_BYTES": "0",
        "VST_DICOM_STORAGE__RESERVE_FRACTION": "0",
    }
    command = [sys.executable, "-m", "vst_dicom", "serve", "--role", "receiver"]
    with _started(command, environment, errors=subprocess.DEVNULL) as process:
        await_port(port)
        yield Receiving(process.pid, port)


@contextmanager
def _started(
    command: list[str], environment: dict[str, str] | None = None, errors: int = subprocess.PIPE
) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(  # noqa: S603
        command, env=environment, stdout=subprocess.DEVNULL, stderr=errors, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _stated_port(process: "subprocess.Popen[str]") -> int:
    assert process.stderr is not None  # noqa: S101
    return int(process.stderr.readline())
