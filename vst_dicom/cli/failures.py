"""What the command line answers when something fails: one line, and an exit code that says who must act."""

import sys
from typing import Final

import typer

from vst_dicom.domain.errors import BundleError, InputError, PeerError, ResourceError, UsageError, VstDicomError

_EXIT_CODES: Final[tuple[tuple[type[VstDicomError], int], ...]] = (
    (UsageError, 2),
    (InputError, 3),
    (BundleError, 4),
    (PeerError, 5),
    (ResourceError, 6),
)
"""First match wins. 0 is done; 1 is a fault of the product itself."""


def exit_code(error: VstDicomError) -> int:
    """Exit code of a failure."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


def report(error: VstDicomError) -> None:
    """Print a failure as one line on standard error."""
    typer.secho(f"vst-dicom: {error}", fg=typer.colors.RED if sys.stderr.isatty() else None, err=True)
