"""Open what settings name, for commands that look at a server's data."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vst_dicom.domain.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from vst_dicom.config import Settings

Config = Annotated[
    Path | None, typer.Option("--config", envvar="VST_DICOM_CONFIG", metavar="FILE", help="Settings of the server.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def has_ledger(settings: "Settings") -> bool:
    """Whether there can be a ledger; SQLite's is a file, any other is somebody else's to make."""
    return bool(settings.database_url) or (settings.data_dir / "vst.sqlite").is_file()


@contextmanager
def open_ledger(settings: "Settings") -> "Iterator[Engine]":
    """Open the ledger.

    Raises
    ------
    UsageError
        If there is none yet.
    """
    from vst_dicom.ledger.database import open_database

    if not has_ledger(settings):
        msg = f"nothing was received in {settings.data_dir} yet; give --config, or start: vst-dicom serve"
        raise UsageError(msg)
    database = open_database(settings.database)
    try:
        yield database
    finally:
        database.dispose()
