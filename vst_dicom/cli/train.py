"""``vst-dicom train``: paired slides and counts become a bundle."""

import shlex
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vst_dicom.cli.predict import Device
from vst_dicom.cli.progress import stage_progress


def train(
    cohort: Annotated[Path, typer.Argument(help="TOML that lists sections: image, counts, spots, patient.")],
    out: Annotated[Path, typer.Option(help="Folder to make for the bundle.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder that the cohort's paths start from; its own if none.")
    ] = None,
    panel: Annotated[Path | None, typer.Option(help="Gene symbols, one per line; the built-in 250 if none.")] = None,
    bundle_id: Annotated[str, typer.Option("--id", help="Id of the bundle; the name of --out if none.")] = "",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "0.1.0",
    encoder: Annotated[
        Path | None, typer.Option(help="Weights: safetensors file or model folder; the built-in bundle's if none.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Encoder that the weights belong to; vst-dicom bundle encoders lists them.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps features between runs.")] = None,
    seed: Annotated[int, typer.Option(help="Of the intervals' draws; the fit itself draws nothing.")] = 0,
    device: Annotated[Device, typer.Option(help="auto takes the GPU where there is one.")] = Device.AUTO,
) -> None:
    """Fit a bundle, score it on tissue kept apart, and write it with its card.

    Example: vst-dicom train benchmarks/her2st/cohort.toml --data her2st --out her2st-lite
    """
    from vst_dicom.files import refuse_existing
    from vst_dicom.training.card import table
    from vst_dicom.training.cohort import hash_inputs, read_cohort
    from vst_dicom.training.distribution import sample_sections
    from vst_dicom.training.evaluate import evaluate
    from vst_dicom.training.evidence import summarize
    from vst_dicom.training.features import describe_cohort
    from vst_dicom.training.fit import DEFAULT_RECIPE
    from vst_dicom.training.panel import DEFAULT_PANEL_TEXT, read_panel
    from vst_dicom.training.train import BundleName, build_bundle
    from vst_dicom.training.weights import read_weights

    refuse_existing(out)
    described, genes, weights = read_cohort(cohort), read_panel(panel), read_weights(encoder, preset)
    typer.echo(f"encoder {weights.spec.name}, licence {weights.spec.license_text}")
    folder, engine = data or cohort.parent, weights.engine(device.value)
    with stage_progress() as progress:
        sections = describe_cohort(
            described,
            folder,
            [gene.symbol for gene in genes],
            engine,
            weights.key,
            cache,
            progress,
            context=weights.spec.context,
        )
        tiles = sample_sections(described, sections, folder, engine, weights.key, seed, cache, progress)
        told = partial(progress, "held-out fits")
        scores = evaluate(sections, DEFAULT_RECIPE, told, seed=seed)
    bundle = build_bundle(
        out,
        BundleName(bundle_id or out.name, version),
        described,
        sections,
        scores,
        genes,
        DEFAULT_PANEL_TEXT if panel is None else panel.name,
        weights,
        engine,
        hash_inputs(described, folder),
        _command(cohort, data, out, panel, encoder, preset, seed),
        datetime.now(UTC).date(),
        DEFAULT_RECIPE,
        seed,
        tiles,
    )
    n_shown = sum(gene.to_panel_gene().shown for gene in bundle.manifest.genes)
    typer.echo(table(summarize(scores)))
    typer.echo(f"{out}: {n_shown} of {len(genes)} genes are shown; read {out / 'card.md'} before use")


def _command(
    cohort: Path, data: Path | None, out: Path, panel: Path | None, encoder: Path | None, preset: str | None, seed: int
) -> str:
    """Say what to type to make the bundle again; folders of this machine are left out."""
    parts = ["vst-dicom", "train", cohort.name if cohort.is_absolute() else cohort.as_posix()]
    parts += [] if data is None else ["--data", data.name]
    parts += [] if panel is None else ["--panel", panel.name]
    parts += [] if encoder is None else ["--encoder", encoder.name]
    parts += [] if preset is None else ["--preset", preset]
    return shlex.join([*parts, "--out", out.name, "--seed", str(seed)])
