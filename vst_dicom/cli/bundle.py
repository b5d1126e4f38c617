"""``vst-dicom bundle``: see which model bundles there are, and whether to trust them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vst_dicom.predict.bundle import Bundle

app = typer.Typer(no_args_is_help=True, help="Model bundles: list, show, verify, card; encoders to train them with.")

BundleName = Annotated[
    str, typer.Argument(metavar="[ID|PATH]", help="Built-in id or folder; the default bundle if none.")
]


@app.command("list")
def list_(
    folders: Annotated[list[Path] | None, typer.Argument(help="Further folders that hold bundles.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List built-in bundles and those in further folders.

    Example: vst-dicom bundle list
    """
    from vst_dicom.predict.bundle import list_bundles

    facts = []
    for found in list_bundles(folders or ()):
        manifest = found.manifest
        shown = sum(gene.to_panel_gene().shown for gene in manifest.genes) if manifest else 0
        facts.append({
            "id": manifest.id if manifest else found.path.name,
            "version": manifest.version if manifest else "",
            "genes": len(manifest.genes) if manifest else 0,
            "shown": shown,
            "description": manifest.description if manifest else "",
            "problem": found.problem,
        })  # fmt: skip
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for fact in facts:
        about = fact["problem"] or f"{fact['shown']} of {fact['genes']} genes shown; {fact['description']}"
        typer.echo(f"{fact['id']} {fact['version']}: {about}")


@app.command("show")
def show(
    bundle: BundleName = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Show what a bundle predicts, why each gene is shown, and why each signature is or is not.

    Example: vst-dicom bundle show her2st-lite
    """
    from vst_dicom.predict.bundle import DEFAULT_BUNDLE, load_bundle

    loaded = load_bundle(bundle or DEFAULT_BUNDLE)
    if as_json:
        typer.echo(loaded.manifest.model_dump_json(indent=1))
        return
    identity = loaded.identity
    shown = [gene for gene in loaded.genes if gene.shown]
    typer.echo(f"{identity.bundle_id} {identity.version}\n{identity.description}\nSHA-256 {identity.sha256}")
    encoder = loaded.manifest.encoder
    typer.echo(f"Encoder {encoder.name}, {encoder.embed_dim} features, licence {encoder.license_text}")
    typer.echo(f"{loaded.manifest.intended_use}\n{len(shown)} of {len(loaded.genes)} genes are shown:")
    for gene in sorted(shown, key=lambda entry: -entry.held_out_r):
        typer.echo(f"  {gene.gene.symbol:<12} {gene.reason}")
    page = _page(loaded)
    typer.echo(f"Card: {page}" if page else f"Card: vst-dicom bundle card {identity.bundle_id}")
    if not loaded.signatures:
        typer.echo("No signature was judged when this bundle was fitted; train it with this version to have them.")
        return
    typer.echo(f"{sum(one.shown for one in loaded.signatures)} of {len(loaded.signatures)} signatures are shown:")
    for signature in sorted(loaded.signatures, key=lambda one: not one.shown):
        genes = " ".join(gene.gene.symbol for gene in signature.genes)
        more = f" Genes: {genes}. {signature.note}".rstrip() if signature.shown else ""
        typer.echo(f"  {signature.name}: {signature.reason}{more}")


@app.command("verify")
def verify(bundle: BundleName = "") -> None:
    """Check hashes, manifest, tensors, and that the encoder answers here as it did when it was fitted.

    Example: vst-dicom bundle verify my-bundle
    """
    from vst_dicom.predict.bundle import DEFAULT_BUNDLE, load_bundle
    from vst_dicom.predict.predictor import Predictor

    predictor = Predictor(load_bundle(bundle or DEFAULT_BUNDLE))
    identity = predictor.bundle.identity
    typer.echo(f"{identity.bundle_id} {identity.version} is whole and runs on {predictor.engine.device_name}")


@app.command("card")
def card(
    bundle: BundleName = "",
    page: Annotated[
        bool, typer.Option("--page", help="Say where the page for a browser lies, with its plots.")
    ] = False,
) -> None:
    """Print a bundle's card.

    Example: vst-dicom bundle card her2st-lite --page
    """
    from vst_dicom.domain.errors import BundleError
    from vst_dicom.predict.bundle import DEFAULT_BUNDLE, load_bundle

    loaded = load_bundle(bundle or DEFAULT_BUNDLE)
    if not page:
        typer.echo(loaded.card)
        return
    path = _page(loaded)
    if path is None:
        msg = f"bundle {loaded.manifest.id} was made before cards had a page; leave out --page"
        raise BundleError(msg)
    typer.echo(path)


def _page(loaded: "Bundle") -> Path | None:
    """Where the card's page lies; None for an older bundle."""
    from vst_dicom.predict.manifest import CARD_PAGE_FILE

    return (loaded.folder / CARD_PAGE_FILE).resolve() if loaded.card_page else None


@app.command("encoders")
def encoders(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List the published encoders that a bundle can be trained with, their licences and where their weights are.

    Example: vst-dicom bundle encoders
    """
    from vst_dicom.predict.presets import PRESETS

    facts = []
    for name, preset in PRESETS.items():
        encoder = preset.encoder
        facts.append({
            "preset": name,
            "license": encoder.license,
            "terms": list(encoder.terms),
            "features": encoder.embed_dim,
            "parameters": preset.n_parameters,
            "extra": "timm" if encoder.library == "timm" else "",
            "weights": f"{encoder.source}, {preset.file}",
            "facts": preset.facts,
        })  # fmt: skip
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for preset in PRESETS.values():
        encoder = preset.encoder
        extra = ", needs the extra [timm]" if encoder.library == "timm" else ""
        marks = f" [{', '.join(encoder.terms)}]" if encoder.terms else ""
        size = f"{encoder.embed_dim} features, {preset.n_parameters / 1e6:.0f} M parameters{extra}"
        typer.echo(f"{encoder.name:<18} {encoder.license}{marks}; {size}\n{'':<18} {encoder.source}; {preset.file}")
