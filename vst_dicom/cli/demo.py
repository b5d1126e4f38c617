"""``vst-dicom demo``: the whole way, from a PACS through this server and back, on a simulated slide or on yours."""

import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vst_dicom.cli.options import parse_optional_spacing, parse_size, parse_spacing
from vst_dicom.cli.predict import print_outcome
from vst_dicom.cli.progress import stage_progress
from vst_dicom.files import refuse_existing

if TYPE_CHECKING:
    from vst_dicom.cli.progress import Progress
    from vst_dicom.domain.geometry import PixelSpacing

_SIZE: Final = "12000x9000"
_SPACING_UM: Final = "0.5"
_SEED: Final = 1


def run_demo(
    out: Annotated[Path, typer.Option(help="Folder to make for the slide, PACS, server and results.")] = Path(
        "vst-demo"
    ),
    slide: Annotated[Path | None, typer.Option(help="Your slide instead of a simulated one.")] = None,
    pixel_spacing_um: Annotated[
        str, typer.Option(metavar="X[,Y]", help="Micrometers per pixel of your slide, where it states none.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Stop PACS and server when the results are back.")] = False,
) -> None:
    """Show the whole way: a slide goes into a PACS, is routed here, and its gene maps come back into the PACS.

    The PACS is Orthanc where it is installed, else a small built-in one; both listen on this machine only. Without
    --slide a slide is simulated first. It looks like H&E but is painted by a program: its maps show that the way works,
    and nothing about biology.

    Example: vst-dicom demo --once --out result
    """
    refuse_existing(out)
    spacing = parse_optional_spacing(pixel_spacing_um)

    from vst_dicom.runtime.demonstration import run_demonstration

    with stage_progress() as progress:
        dicom = _paint(out, progress) if slide is None else _to_dicom(slide, out, spacing, progress)
        with run_demonstration(dicom, out, progress=progress) as shown:
            print_outcome(shown.summary, shown.folder)
            kinds = ", ".join(sorted({instance.modality for instance in shown.found}))
            typer.echo(f"Back in the PACS, {shown.pacs.description}: {len(shown.found)} objects ({kinds})")
            typer.echo(f"Look at: {shown.folder / 'overview.png'}")
            if not once:
                typer.echo(
                    f"PACS {shown.pacs.peer} and server {shown.gateway} run until Ctrl-C. The maps over the slide:"
                )
                typer.echo(f"  {shown.page}")
                typer.echo("Viewers find all in")
                typer.echo(f"  {shown.dicomweb}")
                typer.echo("Send more slides:")
                typer.echo(f"  vst-dicom send FOLDER --to {shown.pacs.peer}")
                _wait_for_ctrl_c()


def _paint(out: Path, progress: "Progress") -> Path:
    """Paint the slide of the demonstration; returns its folder."""
    from vst_dicom.simulate.writing import SlideRecipe, write_simulated_slide

    typer.echo(f"Painting a simulated slide of {_SIZE} pixels …", err=True)
    recipe = SlideRecipe(parse_size(_SIZE), parse_spacing(_SPACING_UM), _SEED)
    folder = out / "simulated"
    write_simulated_slide(recipe, folder, now=datetime.now(UTC), progress=partial(progress, "paint slide"))
    return folder / "slide"


def _to_dicom(slide: Path, out: Path, spacing: "PixelSpacing | None", progress: "Progress") -> Path:
    """Give the slide as it is where it is DICOM, else import it first."""
    from vst_dicom.domain.errors import UsageError
    from vst_dicom.slide.finding import VendorFile, find_slides
    from vst_dicom.slide.vendor import open_vendor_slide
    from vst_dicom.slide.writing import write_planned_pyramid

    found = find_slides([slide])
    if len(found) > 1:
        msg = f"{slide} holds {len(found)} slides; give one of them"
        raise UsageError(msg)
    if not isinstance(found[0], VendorFile):
        return slide
    folder = out / "imported"
    with open_vendor_slide(found[0].path, pixel_spacing=spacing, now=datetime.now(UTC)) as opened:
        write_planned_pyramid(opened, opened.plan, folder, progress=partial(progress, "import slide"))
    return folder


def _wait_for_ctrl_c() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        typer.echo("stopping …", err=True)
