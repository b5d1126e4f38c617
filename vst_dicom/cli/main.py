"""``vst-dicom``: the commands and what they have in common."""

import sys
import warnings
from typing import Annotated

import typer

from vst_dicom import __version__
from vst_dicom.cli import bundle, demo, evaluate, failures, import_, predict, simulate, train
from vst_dicom.domain.errors import ResourceError, VstDicomError
from vst_dicom.domain.wording import RESEARCH_USE_ONLY

app = typer.Typer(
    name="vst-dicom",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Virtual spatial transcriptomics on H&E slides: which genes are likely active where, as DICOM.",
    epilog=RESEARCH_USE_ONLY,
)
app.command("demo")(demo.run_demo)
app.command("predict")(predict.predict)
app.command("import")(import_.import_slide)
app.add_typer(simulate.app, name="simulate")
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(bundle.app, name="bundle")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vst-dicom {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take options that go before the command."""


def run() -> None:
    """Run the command line; failures become one line and an exit code.

    0 done, 1 a fault of the product, 2 usage, 3 input refused, 4 bundle refused, 5 peer failed, 6 resources.
    """
    warnings.filterwarnings("ignore", module="pydicom")  # they quote header values, which may name the patient
    try:
        app()
    except VstDicomError as error:
        failure = error
    except MemoryError:
        failure = ResourceError("memory ran out; choose a smaller --batch-size or a machine with more memory")
    else:
        return
    failures.report(failure)
    sys.exit(failures.exit_code(failure))
