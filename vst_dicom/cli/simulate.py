"""``vst-dicom simulate``: made-up input for demonstrations and tests."""

import json
import time
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vst_dicom.cli.options import parse_size, parse_spacing
from vst_dicom.cli.progress import stage_progress

app = typer.Typer(no_args_is_help=True, help="Make up slides, or a cohort with counts, whose truth is known.")


class StainChoice(StrEnum):
    """How much dye the slide took."""

    NORMAL = "normal"
    PALE = "pale"
    DARK = "dark"


@app.callback()
def simulate() -> None:
    """Make up slides, or a cohort with counts, whose truth is known."""


@app.command("slide")
def simulate_slide(
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
    matrix, spacing = parse_size(size), parse_spacing(pixel_spacing_um)

    from vst_dicom.simulate.stain import Stain
    from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide

    started_s = time.monotonic()
    recipe = SlideRecipe(matrix, spacing, seed, Stain(stain.value))
    with stage_progress() as progress:
        written = write_simulated_slide(
            recipe,
            out,
            now=datetime.now().astimezone(),
            frame_px=frame_px,
            jpeg_quality=jpeg_quality,
            progress=partial(progress, "paint and write frames"),
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


@app.command("cohort")
def simulate_cohort(
    out: Annotated[Path, typer.Argument(help="Folder to make; must be empty if it exists.")],
    patients: Annotated[int, typer.Option(help="Patients, each with a stain and a yield of its own.")] = 8,
    sections: Annotated[int, typer.Option(help="Sections of each patient.")] = 1,
    side_mm: Annotated[float, typer.Option(help="Height and width of a slide, millimeters.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Which cohort; the same seed gives the same counts and pixels.")] = 1,
) -> None:
    """Paint the slides of several patients and count made-up transcripts on them, to test training against the truth.

    Writes a cohort file, a gene panel, and truth.json: which genes the picture tells of, and how well at best.

    Example: vst-dicom simulate cohort simulated --patients 8 --seed 7,
    then vst-dicom train simulated/cohort.toml --panel simulated/panel.txt --out simulated-bundle
    """
    from vst_dicom.simulate.cohort import COHORT_FILE, TRUTH_FILE, CohortRecipe, write_cohort

    started_s = time.monotonic()
    recipe = CohortRecipe(patients, sections, side_mm, seed)
    with stage_progress() as progress:
        write_cohort(
            recipe, out, now=datetime.now().astimezone(), progress=partial(progress, "paint sections and count")
        )
    seconds = time.monotonic() - started_s
    typer.echo(
        f"Simulated cohort {seed}: {patients * sections} sections of {patients} patients in {out / COHORT_FILE}, "
        f"their truth in {out / TRUTH_FILE} ({seconds:.1f} s)"
    )
