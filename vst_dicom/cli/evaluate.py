"""``vst-dicom evaluate``: a bundle's recipe on tissue kept apart, with the baselines beside it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vst_dicom.cli.predict import Device
from vst_dicom.cli.progress import stage_progress

if TYPE_CHECKING:
    from vst_dicom.training.evidence import Row


def evaluate(
    bundle: Annotated[str, typer.Argument(help="Folder or id of a bundle.")],
    cohort: Annotated[Path, typer.Argument(help="TOML that lists sections: image, counts, spots, patient.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder that the cohort's paths start from; its own if none.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps features between runs.")] = None,
    device: Annotated[Device, typer.Option(help="auto takes the GPU where there is one.")] = Device.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Score a bundle on a cohort, never on tissue that it was fitted on.

    The bundle's recipe is fitted anew for every piece of tissue left out, with its encoder and panel. The bundle's own
    head is scored only on patients that did not train it.

    Example: vst-dicom evaluate her2st-lite benchmarks/her2st/cohort.toml --data her2st
    """
    from vst_dicom.predict.bundle import load_bundle
    from vst_dicom.training.cohort import read_cohort
    from vst_dicom.training.evaluate import evaluate as evaluate_recipe
    from vst_dicom.training.evaluate import score_head
    from vst_dicom.training.evidence import summarize
    from vst_dicom.training.features import describe_cohort
    from vst_dicom.training.fit import DEFAULT_RECIPE
    from vst_dicom.training.weights import weights_of

    loaded = load_bundle(bundle)
    manifest, weights, described = loaded.manifest, weights_of(loaded), read_cohort(cohort)
    trained_on = {(c.doi, patient) for c in manifest.training.cohorts for patient in c.patients}
    with stage_progress() as progress:
        sections = describe_cohort(
            described,
            data or cohort.parent,
            [gene.symbol for gene in manifest.genes],
            weights.engine(device.value),
            weights.key,
            cache,
            progress,
            context=weights.spec.context,
        )
        scores = evaluate_recipe(sections, DEFAULT_RECIPE, lambda done, total: progress("held-out fits", done, total))
    rows = summarize(scores)
    unseen = [section for section in sections if (described.doi, section.patient) not in trained_on]
    shipped = score_head(loaded.head, unseen) if unseen else []
    _report(rows, shipped, manifest.id, as_json=as_json)


def _report(rows: "list[Row]", shipped: "list[tuple[str, float, float]]", bundle_id: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    from vst_dicom.training.card import table

    if as_json:
        own = [{"section": name, "r": r, "depth_adjusted_r": adjusted} for name, r, adjusted in shipped]
        typer.echo(json.dumps({"recipe": [asdict(row) for row in rows], "bundle_on_unseen_patients": own}, indent=1))
        return
    typer.echo("The recipe, fitted anew without the tissue of each line; means over the whole panel:\n")
    typer.echo(table(rows))
    for name, r, adjusted in shipped:
        figures = f"r {r:.3f}, depth-adjusted {adjusted:.3f}"
        typer.echo(f"\n{bundle_id} as it is, section {name} of a patient that it never saw: {figures}")
    if not shipped:
        typer.echo(f"\n{bundle_id} as it is was not scored: it was fitted on every patient of this cohort")
