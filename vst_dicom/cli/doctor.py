"""``vst-dicom doctor``: what is wrong with this server, its peers and its settings, and what to do."""

import json
from datetime import UTC, datetime

import typer

from vst_dicom.cli.failures import exit_code
from vst_dicom.cli.ledger import AsJson, Config

_COLORS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}


def doctor(config: Config = None, as_json: AsJson = False) -> None:
    """Check rules, database, disk, certificates, port, destinations (by C-ECHO or a query), bundle and device.

    The exit code is 0 unless something failed; then it is that of the first failure.

    Example: vst-dicom doctor --config vst-dicom.toml
    """
    from vst_dicom.config import read_settings
    from vst_dicom.runtime.diagnosis import Finding, diagnose

    found: list[Finding] = []
    for finding in diagnose(read_settings(config), datetime.now(UTC)):
        found.append(finding)
        if not as_json:
            typer.secho(f"{finding.level.value:<5}", fg=_COLORS[finding.level.value], nl=False)
            typer.echo(f"{finding.check}: {finding.text}")
    if as_json:
        rows = [{"check": one.check, "level": one.level.value, "text": one.text} for one in found]
        typer.echo(json.dumps(rows, indent=2))
    failures = [one.failure for one in found if one.failure is not None]
    if failures:
        raise typer.Exit(exit_code(failures[0]()))
