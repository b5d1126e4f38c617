"""``vst-dicom predict``: slides in, result folders out, without network or queue."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vst_dicom.cli import failures
from vst_dicom.cli.options import parse_optional_spacing, split_list
from vst_dicom.cli.progress import stage_progress
from vst_dicom.domain.errors import UsageError, VstDicomError

_TABLE_ROWS: Final = 12

if TYPE_CHECKING:
    from vst_dicom.dicom.source import Slide
    from vst_dicom.pipeline.process_slide import Choices, Outcome, Progress
    from vst_dicom.predict.predictor import Predictor


class Device(StrEnum):
    """What computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class EngineChoice(StrEnum):
    """Library that computes."""

    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"


class Precision(StrEnum):
    """Arithmetic."""

    AUTO = "auto"
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


def predict(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Folder of DICOM files, .dcm, .svs, .ndpi, .tif, .jpg …")
    ],
    out: Annotated[Path, typer.Option(help="Where to make one folder per slide, named by its Series Instance UID.")],
    bundle: Annotated[str, typer.Option(metavar="ID|PATH", help="Model bundle; see: vst-dicom bundle list")] = "",
    genes: Annotated[
        str, typer.Option(metavar="A,B", help="Only these genes; all that evidence supports if none.")
    ] = "",
    formats: Annotated[
        str, typer.Option(metavar="A,B", help="Of pm,seg,ann,sr,png,geojson,h5ad; as set if none. The summary always.")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(envvar="VST_DICOM_CONFIG", metavar="FILE", help="Settings; [encode] says how forms are written."),
    ] = None,
    device: Annotated[Device, typer.Option(help="auto takes the GPU where there is one.")] = Device.AUTO,
    engine: Annotated[
        EngineChoice, typer.Option(help="Library; auto takes torch on the GPU, and on the CPU what is faster there.")
    ] = EngineChoice.AUTO,
    precision: Annotated[
        Precision, typer.Option(help="auto takes half width on the GPU if the model allows it, fp32 on the CPU.")
    ] = Precision.AUTO,
    threads: Annotated[int, typer.Option(min=0, max=1024, help="CPU threads of the library; 0 takes every core.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Tiles computed together.")] = 32,
    pixel_spacing_um: Annotated[
        str,
        typer.Option(metavar="X[,Y]", help="Micrometers per pixel where the slide states none; recorded as assumed."),
    ] = "",
    optical_path: Annotated[
        str, typer.Option(metavar="ID", help="Which optical path; needed where it is unclear.")
    ] = "",
    focal_plane: Annotated[int, typer.Option(min=0, help="Which focal plane, from 1; 0 takes the middle one.")] = 0,
    coarse: Annotated[
        bool, typer.Option("--coarse", help="One tile of four, for a quick look; no hotspots; every object says so.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results of the same slide.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summaries as JSON lines.")] = False,
) -> None:
    """Predict gene maps of slides and write them as DICOM, GeoJSON, AnnData and a picture.

    Example: vst-dicom predict slide-folder --out results

    Example: vst-dicom predict photo.jpg --pixel-spacing-um 0.688 --out results --genes ERBB2,GNAS

    Example: VST_DICOM_ENCODE__MAP_PIXELS=float32 vst-dicom predict slide-folder --out results --formats pm
    """
    from vst_dicom.predict.bundle import DEFAULT_BUNDLE, load_bundle
    from vst_dicom.predict.predictor import Predictor
    from vst_dicom.slide.finding import find_slides
    from vst_dicom.slide.opening import open_found_slide

    spacing = parse_optional_spacing(pixel_spacing_um)
    choices = _choices(genes, formats, config, overwrite=overwrite, coarse=coarse)
    slides = find_slides(inputs)
    predictor = Predictor(
        load_bundle(bundle or DEFAULT_BUNDLE), engine=engine.value, device=device.value, precision=precision.value,
        batch_size=batch_size, threads=threads or None,
    )  # fmt: skip
    first_failure: VstDicomError | None = None
    for files in slides:
        try:
            with (
                open_found_slide(
                    files,
                    pixel_spacing=spacing,
                    optical_path=optical_path or None,
                    focal_plane=focal_plane - 1 if focal_plane else None,
                ) as slide,
                stage_progress() as progress,
            ):
                outcome = predict_slide(slide, predictor, out, choices, progress)
        except VstDicomError as error:
            failures.report(error)
            first_failure = first_failure or error
            continue
        if as_json:
            typer.echo(json.dumps(outcome.summary))
        else:
            print_outcome(outcome.summary, outcome.folder)
    if first_failure is not None:
        raise typer.Exit(failures.exit_code(first_failure))


def predict_slide(
    slide: "Slide", predictor: "Predictor", out: Path, choices: "Choices", progress: "Progress"
) -> "Outcome":
    """Process one open slide into its own folder below `out`."""
    from vst_dicom.pipeline.process_slide import process_slide

    folder = out / slide.source.series_instance_uid
    return process_slide(slide, predictor, folder, choices=choices, now=datetime.now(UTC), progress=progress)


def _choices(genes: str, formats: str, config: Path | None, *, overwrite: bool, coarse: bool) -> "Choices":
    from vst_dicom.config import read_settings
    from vst_dicom.domain.forms import ResultForm
    from vst_dicom.pipeline.process_slide import Choices

    names = split_list(formats)
    known = [form.value for form in ResultForm]
    unknown = [name for name in names if name not in known]
    if unknown:
        msg = f"--formats knows {', '.join(known)}, not {', '.join(unknown)}"
        raise UsageError(msg)
    chosen = read_settings(config).encode
    forms = frozenset(map(ResultForm, names or chosen.forms))
    return Choices(tuple(split_list(genes)) or None, forms, chosen.encoding, overwrite=overwrite, coarse=coarse)


def print_outcome(summary: Mapping[str, Any], folder: Path) -> None:
    """Say what was found, as a table for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    shown = [gene for gene in summary["genes"] if gene["shown"]]
    shown.sort(key=lambda gene: gene["held_out"]["depth_adjusted_r"] or gene["held_out"]["r"], reverse=True)
    console.print(
        f"\n[bold]{summary['n_tiles']:,} tiles[/] predicted with bundle {summary['bundle']['id']} on "
        f"{summary['device']}: {len(shown)} of {len(summary['genes'])} genes are shown, the others lack evidence."
    )
    if shown:
        table = Table("gene", "status", "held-out r", "beyond depth", "mean", "95th %", "hotspots")
        for gene in shown[:_TABLE_ROWS]:
            held_out = gene["held_out"]
            n_hotspots = sum(hotspot["gene"] == gene["symbol"] for hotspot in summary["hotspots"])
            adjusted = held_out["depth_adjusted_r"]
            table.add_row(
                gene["symbol"],
                gene["status"],
                f"{held_out['r']:.2f}",
                "" if adjusted is None else f"{adjusted:.2f}",
                f"{gene['mean']:.2f}",
                f"{gene['p95']:.2f}",
                str(n_hotspots),
            )
        console.print(table)
        if len(shown) > _TABLE_ROWS:
            console.print(f"… and {len(shown) - _TABLE_ROWS} more in summary.json")
        console.print(f"mean, 95th %: predicted relative mRNA expression over the slide's tiles, {summary['unit']}")
        console.print(
            f"hotspots: {len(summary['hotspots'])} in all, places where it is high relative to similar tissue; "
            "many slides have none"
        )
    for warning in summary["warnings"]:
        console.print(f"[yellow]Mind:[/] {warning}")
    console.print(f"[bold]{summary['notice']}[/]")
    console.print(f"Results: {folder}", soft_wrap=True)
