"""``vst-dicom evaluate``: a bundle's recipe on tissue kept apart, or two bundles against each other."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vst_dicom.cli.predict import Device, EngineChoice
from vst_dicom.cli.progress import stage_progress

if TYPE_CHECKING:
    from vst_dicom.predict.bundle import Bundle
    from vst_dicom.training.cohort import Cohort
    from vst_dicom.training.compare import Comparison, Difference
    from vst_dicom.training.evidence import Row
    from vst_dicom.training.features import SectionSpots

_By = tuple[EngineChoice, Device]
"""Library that computes features, and on what."""

_MOST_GENES = 20
"""Genes that are printed of a comparison; ``--json`` gives all."""


def evaluate(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="BUNDLE [BUNDLE] COHORT",
            help="Folder or id of a bundle, perhaps of a second one, and the cohort: a TOML that lists sections, each "
            "with image, counts, spots and patient.",
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder that the cohort's paths start from; its own if none.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps features between runs.")] = None,
    device: Annotated[Device, typer.Option(help="auto takes the GPU where there is one.")] = Device.AUTO,
    engine: Annotated[
        EngineChoice, typer.Option(help="Library; the default is what heads are fitted with.")
    ] = EngineChoice.TORCH,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Score a bundle on a cohort, or two bundles against each other, never on tissue that they were fitted on.

    With one bundle, its recipe is fitted anew for every piece of tissue left out, with its encoder and panel, and its
    own head is scored on patients that did not train it. With two, both are scored as they are on patients that
    trained neither, on the genes that both predict.

    Example: vst-dicom evaluate her2st-lite benchmarks/her2st/cohort.toml --data her2st
    """
    from vst_dicom.domain.errors import UsageError
    from vst_dicom.predict.bundle import load_bundle
    from vst_dicom.training.cohort import read_cohort

    if len(names) not in (2, 3):
        msg = f"give one bundle or two, then the cohort; {len(names)} names were given"
        raise UsageError(msg)
    cohort = Path(names[-1])
    bundles, described = [load_bundle(name) for name in names[:-1]], read_cohort(cohort)
    folder = data or cohort.parent
    if len(bundles) == 1:
        _evaluate_one(bundles[0], described, folder, cache, (engine, device), as_json=as_json)
    else:
        _compare(bundles[0], bundles[1], described, folder, cache, (engine, device), as_json=as_json)


def _evaluate_one(
    loaded: "Bundle", cohort: "Cohort", folder: Path, cache: Path | None, by: _By, *, as_json: bool
) -> None:
    from vst_dicom.training.evaluate import evaluate as evaluate_recipe
    from vst_dicom.training.evaluate import score_head
    from vst_dicom.training.evidence import summarize
    from vst_dicom.training.fit import DEFAULT_RECIPE

    manifest = loaded.manifest
    trained_on = {(c.doi, patient) for c in manifest.training.cohorts for patient in c.patients}
    sections = _describe(loaded, cohort, folder, [gene.symbol for gene in manifest.genes], cache, by)
    with stage_progress() as progress:
        scores = evaluate_recipe(sections, DEFAULT_RECIPE, lambda done, total: progress("held-out fits", done, total))
    unseen = [section for section in sections if (cohort.doi, section.patient) not in trained_on]
    shipped = score_head(loaded.head, unseen) if unseen else []
    _report(summarize(scores), shipped, manifest.id, as_json=as_json)


def _compare(
    first: "Bundle",
    second: "Bundle",
    cohort: "Cohort",
    folder: Path,
    cache: Path | None,
    by: _By,
    *,
    as_json: bool,
) -> None:
    from vst_dicom.training.compare import common_symbols, compare, unseen_sections

    bundles = (first, second)
    symbols = common_symbols(first.manifest, second.manifest)
    wanted = unseen_sections(cohort, [bundle.manifest for bundle in bundles])
    kept = cohort.model_copy(update={"section": tuple(s for s in cohort.section if s.id in wanted)})
    described = [_describe(bundle, kept, folder, symbols, cache, by) for bundle in bundles]
    predicted = []
    for bundle, sections in zip(bundles, described, strict=True):
        columns = [[gene.symbol for gene in bundle.manifest.genes].index(symbol) for symbol in symbols]
        predicted.append([bundle.head.apply(section.features)[:, columns] for section in sections])
    comparison = compare(symbols, described[0], predicted[0], predicted[1])
    labels = [f"{bundle.manifest.id} {bundle.manifest.version}, {bundle.manifest_sha256[:12]}" for bundle in bundles]
    _report_comparison(comparison, labels, as_json=as_json)


def _describe(
    bundle: "Bundle", cohort: "Cohort", folder: Path, symbols: "list[str] | tuple[str, ...]",
    cache: Path | None, by: _By,
) -> "list[SectionSpots]":  # fmt: skip
    from vst_dicom.training.features import describe_cohort
    from vst_dicom.training.weights import weights_of

    weights = weights_of(bundle)
    with stage_progress() as progress:
        return describe_cohort(
            cohort, folder, symbols, weights.engine(by[1].value, engine=by[0].value), weights.key, cache, progress,
            context=weights.spec.context,
        )  # fmt: skip


def _report(rows: "list[Row]", shipped: "list[tuple[str, float, float]]", bundle_id: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    from vst_dicom.training.card import baseline_table, table

    if as_json:
        own = [{"section": name, "r": r, "depth_adjusted_r": adjusted} for name, r, adjusted in shipped]
        typer.echo(json.dumps({"recipe": [asdict(row) for row in rows], "bundle_on_unseen_patients": own}, indent=1))
        return
    typer.echo("The recipe, fitted anew without the tissue of each line; means over the whole panel:\n")
    typer.echo(table(rows))
    typer.echo("\nThe same tissue by plain knowledge: r, then depth-adjusted r:\n")
    typer.echo(baseline_table(rows))
    for name, r, adjusted in shipped:
        figures = f"r {r:.3f}, depth-adjusted {adjusted:.3f}"
        typer.echo(f"\n{bundle_id} as it is, section {name} of a patient that it never saw: {figures}")
    if not shipped:
        typer.echo(f"\n{bundle_id} as it is was not scored: it was fitted on every patient of this cohort")


def _report_comparison(comparison: "Comparison", labels: list[str], *, as_json: bool) -> None:
    from dataclasses import asdict

    from vst_dicom.training.card import counted
    from vst_dicom.training.compare import UNIT_NOTES

    if as_json:
        typer.echo(json.dumps({"first": labels[0], "second": labels[1], **asdict(comparison)}, indent=1))
        return
    typer.echo(
        f"A: {labels[0]}\nB: {labels[1]}\nBoth as they are, on {counted(len(comparison.sections), 'section')} of "
        f"{counted(comparison.n_patients, 'patient')} that trained neither ({', '.join(comparison.sections)}); "
        f"{len(comparison.symbols)} genes in common.\n95 % intervals by drawing {comparison.n_units} units with "
        f"replacement, {UNIT_NOTES[comparison.unit]}.\n"
    )
    typer.echo("| gene | r A | r B | B − A | 95 % interval | depth-adjusted A | B | B − A | 95 % interval |")
    typer.echo("|---|---|---|---|---|---|---|---|---|")
    typer.echo(f"| **all, mean** | {_cells(comparison.r)} | {_cells(comparison.depth_adjusted_r)} |")
    lines = list(zip(comparison.symbols, comparison.genes, comparison.depth_adjusted_genes, strict=True))
    lines.sort(key=lambda line: -abs(line[2].difference))
    for symbol, r, adjusted in lines[:_MOST_GENES]:
        typer.echo(f"| {symbol} | {_cells(r)} | {_cells(adjusted)} |")
    if len(lines) > _MOST_GENES:
        typer.echo(f"\nThe {_MOST_GENES} genes that differ most, depth-adjusted; --json prints all {len(lines)}")


def _cells(found: "Difference") -> str:
    return f"{found.first:.3f} | {found.second:.3f} | {found.difference:+.3f} | {found.low:+.3f} to {found.high:+.3f}"
