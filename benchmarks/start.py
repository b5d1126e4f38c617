"""Starting: commands that must answer at once, and the memory of the listener."""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import memory_mb
from benchmarks.receivers import run_ours
from benchmarks.tables import range_text, table


def start_lines(rounds: int) -> Iterator[str]:
    """CPU time of two commands, and memory of a receiver to which nothing was sent."""
    rows = [
        [f"`vst-dicom {option}`", "CPU s", range_text([_command_s(option) for _ in range(rounds)])]
        for option in ("--version", "--help")
    ]
    rows.append(["listener that received nothing", "memory, MB", range_text([_listener_mb() for _ in range(rounds)])])
    yield from table(["", "", "median (range)"], rows)


def _command_s(option: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "vst_dicom", option], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _listener_mb() -> float:
    with tempfile.TemporaryDirectory() as folder, run_ours(Path(folder)) as running:
        return memory_mb(running.pid)["peak"]
