"""``python -m benchmarks``: one command, one table."""

import argparse
import platform
import shlex
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Final

from benchmarks import cost_model
from benchmarks.figures import read_figures, write_figures
from benchmarks.parts import PARTS, Options
from benchmarks.tables import replace_block

README: Final = Path(__file__).parent / "README.md"
_LIBRARIES: Final = ("torch", "openvino", "numpy", "scipy", "pydicom", "pynetdicom", "highdicom", "simplejpeg")


def main() -> None:
    """Measure, print the table, and put it into benchmarks/README.md on request."""
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, separated by commas, of: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="how often each pair is measured")
    parser.add_argument("--quick", action="store_true", help="small inputs, to see that the parts run")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    if arguments.write and arguments.quick:
        parser.error("figures of small inputs are not written; leave out --quick or --write")
    figures: dict[str, float] = {}
    for name in names:
        part, began = PARTS[name], monotonic()
        print(f"\n## {part.title}\n", flush=True)  # noqa: T201
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            lines = []
            for line in part.measure(Options(Path(folder), arguments.rounds, arguments.quick, figures)):
                print(line, flush=True)  # noqa: T201
                lines.append(line)
        print(f"{name}: {monotonic() - began:.0f} s", file=sys.stderr, flush=True)  # noqa: T201
        if arguments.write:
            about = [
                f"`make bench ARGS={shlex.quote(f'--only {name} --rounds {arguments.rounds}')}` on {machine_line()}"
            ]
            replace_block(README, name, [*lines, "", *about])
    print(f"\n{machine_line()}")  # noqa: T201
    if arguments.write:
        write_figures(figures)
        replace_block(cost_model.PAGE, cost_model.BLOCK, list(cost_model.model_lines(read_figures())))


def machine_line() -> str:
    """Name the machine and the libraries."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = models[0] if models else platform.machine()
    return f"{len(models)} × {processor}; Python {platform.python_version()}, {', '.join(_versions())}."


def _versions() -> list[str]:
    from importlib.util import find_spec

    return [f"{name} {version(name)}" for name in _LIBRARIES if find_spec(name)]


if __name__ == "__main__":
    main()
