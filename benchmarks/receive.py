"""Receiving: CPU time of our receiver's process against DCMTK's ``storescp +B`` at the same PDU length."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, generate_uid

from benchmarks.measure import Pair

MAXIMUM_PDU_BYTES: Final = 131_072
_VL_WHOLE_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
_JPEG: Final = "1.2.840.10008.1.2.4.50"
_FRAME_BYTES: Final = 20_000
_START_S: Final = 30.0
_SEND_S: Final = 600.0

_RECEIVER: Final = """
import sys, threading
from vst_dicom.config import read_settings
from vst_dicom.runtime.receiver import run_receiver
run_receiver(read_settings(), threading.Event(), on_ready=lambda port: print(port, file=sys.stderr, flush=True))
"""


def measure_receiving(folder: Path, rounds: int, n_bytes: int = 1 << 30) -> Pair:
    """Send one instance per round to each receiver, as storescu sends it.

    Parameters
    ----------
    folder
        For the instance and what is received; about four times its size must be free.
    rounds
        How often each receiver is measured, in turn.
    n_bytes
        About the size of the instance: JPEG frames of 20 kB, as a slide has them.

    Raises
    ------
    FileNotFoundError
        If DCMTK is not installed.
    """
    if shutil.which("storescp") is None:
        raise FileNotFoundError("storescp is missing: install the Debian package dcmtk")
    instance = folder / "instance.dcm"
    limit_s: list[float] = []
    ours_s: list[float] = []
    for number in range(rounds + 1):
        n_written = write_instance(instance, n_bytes)
        for receiver, seconds in ((_run_storescp, limit_s), (_run_ours, ours_s)):
            place = folder / "received"
            place.mkdir()
            with receiver(place) as (process, port):
                before = cpu_seconds(process)  # of the start, which is not what is measured
                _send(instance, port)
                if number:  # the first round is not measured
                    seconds.append(cpu_seconds(process) - before)
            shutil.rmtree(place)
    instance.unlink()
    return Pair("receive one instance", "storescp +B", tuple(limit_s), tuple(ours_s), n_written // 10**6, "MB")


def write_instance(path: Path, n_bytes: int) -> int:
    """Write a slide-like instance of about `n_bytes`: a short header, then JPEG-sized fragments; no pixel is real."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(_VL_WHOLE_SLIDE)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = UID(_JPEG)
    meta.ImplementationClassUID = generate_uid()
    fragment = _item(0xE000, os.urandom(_FRAME_BYTES))
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM")
        encoded = DicomBytesIO()
        write_file_meta_info(encoded, meta, enforce_standard=True)
        file.write(encoded.getvalue())
        file.write(_uid_element(0x0008, 0x0016, _VL_WHOLE_SLIDE))
        file.write(_uid_element(0x0008, 0x0018, meta.MediaStorageSOPInstanceUID))
        file.write(_uid_element(0x0020, 0x000D, generate_uid()))
        file.write(_uid_element(0x0020, 0x000E, generate_uid()))
        file.write(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + _item(0xE000, b""))
        for _ in range(n_bytes // len(fragment)):
            file.write(fragment)
        file.write(_item(0xE0DD, b""))
        return file.tell()


def cpu_seconds(process: "subprocess.Popen[str]") -> float:
    """CPU seconds that a process has used so far, user and system."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _run_storescp(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    command = ["storescp", "+B", "+xa", "-pdu", str(MAXIMUM_PDU_BYTES), "-od", str(folder), str(port)]
    process = subprocess.Popen(command, text=True)  # noqa: S603
    try:
        _await_port(port)
        yield process, port
    finally:
        process.kill()
        process.wait()


@contextmanager
def _run_ours(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    environment = os.environ | {
        "VST_DICOM_DATA_DIR": str(folder),
        "VST_DICOM_DICOM__PORT": "0",
        "VST_DICOM_STORAGE__RESERVE_BYTES": "0",
        "VST_DICOM_STORAGE__RESERVE_FRACTION": "0",
    }
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", _RECEIVER], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None  # noqa: S101
        yield process, int(process.stderr.readline())
    finally:
        process.kill()
        process.wait()


def _send(instance: Path, port: int) -> None:
    command = ["storescu", "-R", "-xy", "-aec", "VST_DICOM", "-pdu", str(MAXIMUM_PDU_BYTES), "--max-send-pdu",
               str(MAXIMUM_PDU_BYTES), "127.0.0.1", str(port), str(instance)]  # fmt: skip
    subprocess.run(command, check=True, timeout=_SEND_S)  # noqa: S603


def _await_port(port: int) -> None:
    deadline = monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if monotonic() > deadline:
                raise
            sleep(0.05)
        else:
            return


def _uid_element(group: int, number: int, uid: str) -> bytes:
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return group.to_bytes(2, "little") + number.to_bytes(2, "little") + b"UI" + len(value).to_bytes(2, "little") + value


def _item(number: int, value: bytes) -> bytes:
    return b"\xfe\xff" + number.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value
