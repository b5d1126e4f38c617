"""``vst-dicom simulate``: made-up input for demonstrations and tests."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing

app = typer.Typer(no_args_is_help=True, help="Make up a slide whose truth is known.")


class StainChoice(StrEnum):
    """How much dye the slide took."""

    NORMAL = "normal"
    PALE = "pale"
    DARK = "dark"


@app.callback()
def simulate() -> None:
    """Make up a slide whose truth is known."""


@app.command("slide")
def simulate_slide(  # noqa: PLR0917 - each is an option of the command line
    out: Annotated[Path, typer.Option(help="Folder to make; must be empty if it exists.")],
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Total pixel matrix.")] = "12000x9000",
    pixel_spacing_um: Annotated[str, typer.Option(metavar="X[,Y]", help="Micrometers per pixel.")] = "0.5",
    seed: Annotated[int, typer.Option(help="Which slide; the same seed gives the same slide.")] = 1,
    stain: Annotated[StainChoice, typer.Option(help="How much dye the slide took.")] = StainChoice.NORMAL,
    frame_px: Annotated[int, typer.Option(help="Rows and columns of a frame.")] = 256,
    jpeg_quality: Annotated[int, typer.Option(help="1 to 100.")] = 85,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Paint a hematoxylin and eosin slide and write it as a DICOM pyramid, with its true region map beside it.

    Example: vst-dicom simulate slide --out simulated --seed 7
    """
    matrix, spacing = _parse_size(size), _parse_spacing(pixel_spacing_um)

    from vst_dicom.simulate.stain import Stain  # noqa: PLC0415 - --help answers at once
    from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide  # noqa: PLC0415

    started_s = time.monotonic()
    recipe = SlideRecipe(matrix, spacing, seed, Stain(stain.value))
    with _progress_bar() as progress:
        written = write_simulated_slide(
            recipe,
            out,
            now=datetime.now().astimezone(),
            frame_px=frame_px,
            jpeg_quality=jpeg_quality,
            progress=progress,
        )
    seconds = time.monotonic() - started_s
    if as_json:
        facts = {
            "files": [str(path) for path in written.instances],
            "truth": [str(written.truth_picture), str(written.truth_facts)],
            "rows": matrix.n_rows,
            "columns": matrix.n_columns,
            "pixel_spacing_um": [round(spacing.column_um, 9), round(spacing.row_um, 9)],
            "seed": seed,
            "seconds": round(seconds, 3),
        }
        typer.echo(json.dumps(facts, indent=2))
        return
    typer.echo(
        f"Simulated slide {seed}: {matrix.n_columns} x {matrix.n_rows} px at {spacing.column_um:g} x "
        f"{spacing.row_um:g} µm/px in {out / 'slide'}, its regions in {written.truth_picture} ({seconds:.1f} s)"
    )


def _parse_size(text: str) -> MatrixSize:
    try:
        n_columns, n_rows = (int(part) for part in text.lower().replace("×", "x").split("x"))
        return MatrixSize(n_rows, n_columns)
    except ValueError as error:
        msg = f"--size must be width x height in pixels, such as 8192x6144, not {text!r}"
        raise UsageError(msg) from error


def _parse_spacing(text: str) -> PixelSpacing:
    """Read ``X`` or ``X,Y``: micrometers between columns, then between rows."""
    try:
        values = [float(part) for part in text.split(",")]
        x_um, y_um = values * 2 if len(values) == 1 else values
        return PixelSpacing.from_um(y_um, x_um)
    except ValueError as error:
        msg = f"--pixel-spacing-um must be one or two positive numbers, such as 0.5 or 0.5,0.25, not {text!r}"
        raise UsageError(msg) from error


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """Show frames written, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Painting and writing frames", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
