"""``vst-dicom config``: what is set, and whether settings and rules would do what is meant."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vst_dicom.cli.ledger import AsJson, Config, has_ledger, open_ledger
from vst_dicom.domain.errors import BundleError, UsageError

if TYPE_CHECKING:
    from vst_dicom.config import Settings
    from vst_dicom.runtime.dry_run import DryRun
    from vst_dicom.study.rules import Rules

app = typer.Typer(no_args_is_help=True, help="Show and check settings and rules.")

_SECRET: Final = re.compile(r"(://[^/@:\"]*):[^/\"]*@")
"""The password of an address."""


@app.command()
def show(config: Config = None) -> None:
    """Print all settings in force, defaults included, as JSON; passwords in addresses are left out.

    Example: vst-dicom config show --config vst-dicom.toml
    """
    from vst_dicom.config import read_settings

    typer.echo(_SECRET.sub(r"\1:***@", json.dumps(read_settings(config).model_dump(mode="json"), indent=2)))


@app.command()
def example() -> None:
    """Print a settings file with every setting, its default and what it means.

    Example: vst-dicom config example > vst-dicom.toml
    """
    from vst_dicom.runtime.settings_file import document_settings

    typer.echo(document_settings(), nl=False)


@app.command()
def check(
    config: Config = None,
    rules: Annotated[Path | None, typer.Option(metavar="FILE", help="Try these rules instead of those set.")] = None,
    past: Annotated[int, typer.Option(min=0, max=100_000, help="Try rules on so many slides that came before.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Check settings and rules, and say what the rules would do with slides that came before. Changes nothing.

    Example: vst-dicom config check --config vst-dicom.toml --rules new-rules.toml
    """
    from vst_dicom.config import read_settings
    from vst_dicom.runtime.considering import read_site_rules

    settings = read_settings(config)
    if rules is not None:
        study = settings.study.model_copy(update={"rules": rules})
        settings = settings.model_copy(update={"study": study})
    found = read_site_rules(settings)
    _check_bundles(settings, found)
    tried = _try(settings, found, past)
    if as_json:
        typer.echo(json.dumps({"n_rules": len(found.rule), "slides": [_facts(one) for one in tried]}))
        return
    typer.echo(f"settings and {len(found.rule)} rules are fine")
    for one in tried:
        sign = "*" if one.changes else " "
        slide = one.slide
        typer.echo(
            f"{sign} study {slide.study_instance_uid} slide {slide.id}: "
            f"is {slide.state}, would be {one.found.state} ({one.found.reason})"
        )
    if tried:
        typer.echo(f"{sum(one.changes for one in tried)} of {len(tried)} slides would be decided otherwise (*)")


def _try(settings: "Settings", rules: "Rules", past: int) -> "list[DryRun]":
    from vst_dicom.runtime.dry_run import dry_run

    if not past or not has_ledger(settings):
        return []
    with open_ledger(settings) as database:
        return dry_run(database, settings, rules, past)


def _check_bundles(settings: "Settings", rules: "Rules") -> None:
    """Check that bundles exist and show the genes that rules name."""
    from vst_dicom.predict.bundle import load_bundle

    wanted: list[tuple[str, str, tuple[str, ...] | None]]
    wanted = [("settings", bundle, None) for bundle in (settings.predict.bundle, *settings.predict.shadow)]
    wanted += [(f"rule {rule.name!r}", rule.bundle or settings.predict.bundle, rule.genes) for rule in rules.rule]
    shown: dict[str, set[str]] = {}
    for who, bundle, genes in wanted:
        try:
            if bundle not in shown:
                shown[bundle] = {gene.gene.symbol for gene in load_bundle(bundle).genes if gene.shown}
        except BundleError as error:
            msg = f"{who}: {error}"
            raise BundleError(msg) from error
        unknown = sorted(set(genes or ()) - shown[bundle])
        if unknown:
            msg = f"{who}: bundle {bundle} does not show {', '.join(unknown)}; choose among the genes that it shows"
            raise UsageError(msg)


def _facts(one: "DryRun") -> dict[str, Any]:
    chosen = one.found.selection
    return {
        "study_instance_uid": one.slide.study_instance_uid,
        "slide": one.slide.id,
        "is": one.slide.state,
        "would_be": one.found.state,
        "changes": one.changes,
        "reason": one.found.reason,
        "bundle": chosen and chosen.bundle,
        "genes": chosen and chosen.genes,
        "destinations": chosen and chosen.destinations,
        "priority": chosen and chosen.priority.name.lower(),
    }
