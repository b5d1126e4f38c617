"""``vst-dicom demo``: the whole way once, on a simulated slide or on yours."""

from pathlib import Path
from typing import Annotated

import typer


def run_demo(
    out: Annotated[Path, typer.Option(help="Where to put slide and results.")] = Path("vst-demo"),
    slide: Annotated[Path | None, typer.Option(help="Your slide instead of a simulated one.")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Stop when the results are written (there is no server yet).")
    ] = True,
) -> None:
    """Show the whole way: an H&E slide in, gene maps out.

    Without --slide a slide is simulated first. It looks like H&E but is drawn, so its gene maps show that the way
    works, and nothing about biology.

    Example: vst-dicom demo --once --out result
    """
