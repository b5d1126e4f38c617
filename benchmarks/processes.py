"""What another process costs: CPU time, memory, and Python run afresh."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import clock_gettime, monotonic, sleep
from typing import Any, Final, Literal

ROOT: Final = Path(__file__).parents[1]
"""Of the checkout."""

_START_S: Final = 30.0
_WHOLE_PROCESS: Final = 2
"""Asks Linux for the CPU clock of another process, see ``clock_getcpuclockid(3)``."""


def run_afresh(
    module: str, *arguments: object, python: Path | str = sys.executable, threads: int | None = 1
) -> dict[str, Any]:
    """Run a module of this folder in a process of its own, and read the JSON object of its last line.

    Parameters
    ----------
    module
        Its name, such as ``benchmarks.grown``.
    arguments
        Passed on as text.
    python
        Another interpreter, for peers; it sees this checkout.
    threads
        Of every library that computes; None leaves their own choice.

    Raises
    ------
    RuntimeError
        If it fails; the message ends with what it said last.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if threads is not None:
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [str(python), "-m", module, *map(str, arguments)]
    print(f"running {module} {' '.join(Path(str(each)).name for each in arguments)}", file=sys.stderr, flush=True)  # noqa: T201
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if run.returncode:
        msg = f"{module} failed: {run.stderr.strip()[-2000:]}"
        raise RuntimeError(msg)
    found: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    return found


def peak_mb() -> float:
    """Most resident memory of this process, in 10⁶ bytes; `resource` would count what its parent had."""
    return memory_mb("self")["peak"]


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process has used so far, all threads, user and system."""
    return clock_gettime((~pid << 3) | _WHOLE_PROCESS)


def memory_mb(pid: int | Literal["self"]) -> Mapping[str, float]:
    """Resident memory of a process in 10⁶ bytes: ``now``, and ``peak`` since its start."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(lines[key].split()[0]) * 1024 / 1e6 for name, key in (("now", "VmRSS"), ("peak", "VmHWM"))}


def child_named(name: str) -> int:
    """Process that this one started by the name of its program.

    Raises
    ------
    LookupError
        If there is none.
    """
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                return int(pid)
    msg = f"no process {name} was started"
    raise LookupError(msg)


def await_port(port: int) -> None:
    """Wait until somebody listens.

    Raises
    ------
    OSError
        If nobody does for long.
    """
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
