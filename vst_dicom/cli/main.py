"""``vst-dicom``: the commands and what they have in common."""

import sys
import warnings
from typing import Annotated

import typer

from vst_dicom import __version__
from vst_dicom.cli import (
    bundle,
    config,
    demo,
    doctor,
    evaluate,
    export,
    failures,
    import_,
    jobs,
    predict,
    send,
    serve,
    simulate,
    studies,
    train,
)
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
_SERVER, _MODELS = "Server", "Models and slides"
app.command("demo")(demo.run_demo)
app.command("predict")(predict.predict)
app.command("export")(export.export)
app.command("serve", rich_help_panel=_SERVER)(serve.serve)
app.add_typer(studies.app, name="studies", rich_help_panel=_SERVER)
app.add_typer(jobs.app, name="jobs", rich_help_panel=_SERVER)
app.command("send", rich_help_panel=_SERVER)(send.send)
app.command("doctor", rich_help_panel=_SERVER)(doctor.doctor)
app.add_typer(config.app, name="config", rich_help_panel=_SERVER)
app.command("import", rich_help_panel=_MODELS)(import_.import_slide)
app.add_typer(simulate.app, name="simulate", rich_help_panel=_MODELS)
app.add_typer(bundle.app, name="bundle", rich_help_panel=_MODELS)
app.command("train", rich_help_panel=_MODELS)(train.train)
app.command("evaluate", rich_help_panel=_MODELS)(evaluate.evaluate)


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
