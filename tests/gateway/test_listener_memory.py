"""The receiver is small: it holds no library that writing bytes to the disk does not need."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.peers.dcmtk import needs_dcmtk, run_dcmtk
from tests.runtime.slides import write_slide
from vst_dicom.runtime.orthanc import free_ports

MOST_MB = 80

pytestmark = [
    needs_dcmtk,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory of a process is read from /proc"),
]


def resident_mb(process: "subprocess.Popen[bytes]") -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def test_the_listener_takes_at_most_80_mb_and_stores_a_slide(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    config = tmp_path / "settings.toml"
    config.write_text(f'data_dir = "{tmp_path / "data"}"\n[dicom]\nport = {port}\n')
    write_slide(tmp_path / "slide.dcm", 1)
    command = [sys.executable, "-m", "vst_dicom", "serve", "--config", str(config), "--role", "receiver"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as receiver:
        try:
            deadline = time.monotonic() + 60
            while b"receiver listens" not in (tmp_path / "log").read_bytes() and time.monotonic() < deadline:
                time.sleep(0.1)
            before = resident_mb(receiver)
            where = ["-aec", "VST_DICOM", "127.0.0.1", str(port)]
            stored = run_dcmtk("storescu", "-R", "-xy", *where, str(tmp_path / "slide.dcm"))
            after = resident_mb(receiver)
        finally:
            receiver.terminate()

    assert stored.returncode == 0, stored.stdout + stored.stderr + (tmp_path / "log").read_text()
    assert len(list((tmp_path / "data" / "spool").rglob("*.dcm"))) == 1
    assert before <= MOST_MB
    assert after <= MOST_MB + 5
