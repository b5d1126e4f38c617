"""``python -m benchmarks``: one command, one table."""

import argparse
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from itertools import chain
from pathlib import Path

from benchmarks.frames import HEADER, can_measure, measure_frames
from benchmarks.receive import measure_receiving
from benchmarks.stages import measure_stages

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- table -->", "<!-- /table -->"


def main() -> None:
    """Measure, print the table, and put it into benchmarks/README.md on request."""
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    parser.add_argument("--side", type=int, default=6144, help="side of the simulated slides that stages read, pixels")
    parser.add_argument("--rounds", type=int, default=5, help="how often each pair is measured")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    arguments = parser.parse_args()
    lines = [
        "| stage | limit | limit | ours | | share of the limit, median (range) |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        pairs = chain(
            measure_stages(Path(folder), arguments.side, arguments.rounds),
            [measure_receiving(Path(folder), arguments.rounds)] if shutil.which("storescp") else [],
        )
        for pair in pairs:
            print(f"measured: {pair.stage}", file=sys.stderr)  # noqa: T201
            lines.append(pair.row())
        if can_measure():
            lines += ["", *HEADER]
            for rates in measure_frames(Path(folder), arguments.rounds):
                print(f"measured: frames of {rates.n_bytes / 1e6:.0f} MB, {rates.n_clients} clients", file=sys.stderr)  # noqa: T201
                lines.append(rates.row())
    lines += ["", *start_up_lines(), "", machine_line()]
    table = "\n".join(lines)
    print(table)  # noqa: T201
    if arguments.write:
        before, _, rest = README.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        README.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def start_up_lines() -> list[str]:
    """CPU time of commands that must answer at once."""
    lines = []
    for option in ("--version", "--help"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "vst_dicom", option], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        lines.append(f"- `vst-dicom {option}`: {seconds:.2f} s CPU")
    return lines


def machine_line() -> str:
    """Name the machine and the libraries."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pydicom", "simplejpeg"))
    processor = models[0] if models else platform.machine()
    return f"{len(models)} × {processor}; Python {platform.python_version()}, {libraries}."


if __name__ == "__main__":
    main()
