"""``vst-dicom demo``: the whole way, on a simulated slide or on yours."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from vst_dicom.cli.options import parse_optional_spacing, parse_size, parse_spacing
from vst_dicom.cli.predict import predict_slide, print_outcome
from vst_dicom.cli.progress import stage_progress
from vst_dicom.files import refuse_existing

_SIZE: Final = "12000x9000"
_SPACING_UM: Final = "0.5"
_SEED: Final = 1


def run_demo(
    out: Annotated[Path, typer.Option(help="Folder to make for the slide and its results.")] = Path("vst-demo"),
    slide: Annotated[Path | None, typer.Option(help="Your slide instead of a simulated one.")] = None,
    pixel_spacing_um: Annotated[
        str, typer.Option(metavar="X[,Y]", help="Micrometers per pixel of your slide, where it states none.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="End when the results are written, as it does anyway.")] = True,  # noqa: ARG001
) -> None:
    """Show the whole way: an H&E slide in, gene maps out.

    Without --slide a slide is simulated first. It looks like H&E but is painted by a program: its maps show that the
    way works, and nothing about biology.

    Example: vst-dicom demo --once --out result
    """
    refuse_existing(out)
    spacing = parse_optional_spacing(pixel_spacing_um)

    from vst_dicom.pipeline.process_slide import Choices
    from vst_dicom.predict.bundle import load_bundle
    from vst_dicom.predict.predictor import Predictor
    from vst_dicom.slide.opening import open_slide

    with stage_progress() as progress:
        if slide is None:
            from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide

            typer.echo(f"Painting a simulated slide of {_SIZE} pixels …", err=True)
            recipe = SlideRecipe(parse_size(_SIZE), parse_spacing(_SPACING_UM), _SEED)
            write_simulated_slide(
                recipe, out / "simulated", now=datetime.now(UTC), progress=partial(progress, "paint slide")
            )
        typer.echo("Predicting …", err=True)
        with open_slide([slide or out / "simulated" / "slide"], pixel_spacing=spacing) as opened:
            outcome = predict_slide(opened, Predictor(load_bundle()), out, Choices(), progress)
    print_outcome(outcome)
    typer.echo(f"Look at: {outcome.folder / 'overview.png'}")
