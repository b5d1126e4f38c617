"""Routes of model bundles: what each predicts, and how far held-out evidence supports it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Response
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from vst_dicom.config import Settings
from vst_dicom.domain.errors import NotFoundError
from vst_dicom.domain.expression import GeneStatus
from vst_dicom.predict.bundle import BundleListing, list_bundles, read_card_page, read_listing
from vst_dicom.predict.manifest import CARD_PAGE_FILE, Manifest, Provenance, Scope, Target
from vst_dicom.predict.manifest_evidence import GeneEntry, SignatureEntry, TissueForm, Uncertainty
from vst_dicom.service.addresses import API
from vst_dicom.service.holdings import ServerSettings

router: Final = APIRouter(prefix=f"{API}/bundles", tags=["Bundles"])

BundleId = Annotated[str, InPath(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Id of the bundle")]

CARD_POLICY: Final = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Cards carry styles and pictures in themselves; no program runs in one, wherever the bundle comes from."""


class BundleSummary(BaseModel):
    """A bundle in a list. For research use only; not for use in diagnostic procedures."""

    id: str
    version: str
    description: str
    is_default: bool = Field(description="Whether slides are processed with it where no rule says otherwise")
    n_genes: int
    n_shown: int = Field(description="Genes that held-out evidence supports")
    has_card: bool
    problem: str = Field(description="Why it cannot be used; empty if it can, as far as its manifest says")


class Bundles(BaseModel):
    """All bundles that the server knows."""

    bundles: list[BundleSummary]


class EncoderFacts(BaseModel):
    """What turns a tile into features."""

    name: str
    license: str
    spacing_um: float
    tile_px: int


class GeneFacts(GeneEntry):
    """A gene and its held-out evidence."""

    shown: bool = Field(description="Whether its values may leave the product")


class BundleDetail(BundleSummary):
    """What a bundle says about itself."""

    intended_use: Literal["For Research Use Only. Not for use in diagnostic procedures."]
    encoder: EncoderFacts
    target: Target
    scope: Scope
    provenance: Provenance
    cohorts: list[str] = Field(description="Names of the cohorts that it was fitted on")
    protocol: str = Field(description="How the held-out figures were made")
    tissue: TissueForm | None
    uncertainty: Uncertainty | None
    genes: list[GeneFacts]
    signatures: list[SignatureEntry]


@router.get("")
def list_all(settings: ServerSettings) -> Bundles:
    """List the built-in bundles and those that the settings name."""
    return Bundles(bundles=[BundleSummary(**_summarize(listing, settings)) for listing in _known(settings)])


@router.get("/{bundle_id}")
def read_one(bundle_id: BundleId, settings: ServerSettings) -> BundleDetail:
    """Show what a bundle predicts, and why each gene and signature is shown or is not."""
    listing, manifest = _find(bundle_id, settings)
    encoder = manifest.encoder
    return BundleDetail(
        **_summarize(listing, settings),
        intended_use=manifest.intended_use,
        encoder=EncoderFacts(
            name=encoder.name,
            license=encoder.license_text,
            spacing_um=encoder.spacing_um,
            tile_px=encoder.tile_px,
        ),
        target=manifest.target,
        scope=manifest.scope,
        provenance=manifest.provenance,
        cohorts=[cohort.name for cohort in manifest.training.cohorts],
        protocol=manifest.training.protocol,
        tissue=manifest.tissue,
        uncertainty=manifest.uncertainty,
        genes=[GeneFacts(**dict(gene), shown=gene.status is not GeneStatus.HIDDEN) for gene in manifest.genes],
        signatures=list(manifest.signatures),
    )


@router.get("/{bundle_id}/card", response_class=HTMLResponse)
def read_card(bundle_id: BundleId, settings: ServerSettings) -> Response:
    """Send the card of a bundle as a page."""
    listing, manifest = _find(bundle_id, settings)
    if CARD_PAGE_FILE not in manifest.files:
        raise NotFoundError("the bundle was made before cards had a page")
    return HTMLResponse(
        read_card_page(listing.path, manifest),
        headers={"Content-Security-Policy": CARD_POLICY, "Cache-Control": "private, max-age=60"},
    )


def _known(settings: Settings) -> Sequence[BundleListing]:
    """Bundles that settings name by folder, then the built-in ones."""
    named = [Path(name) for name in (settings.predict.bundle, *settings.predict.shadow)]
    return (*(read_listing(path) for path in dict.fromkeys(named) if path.is_dir()), *list_bundles())


def _find(bundle_id: str, settings: Settings) -> tuple[BundleListing, Manifest]:
    for listing in _known(settings):
        if listing.manifest is not None and listing.manifest.id == bundle_id:
            return listing, listing.manifest
    raise NotFoundError("there is no such bundle, or its manifest cannot be read")


def _summarize(listing: BundleListing, settings: Settings) -> dict[str, Any]:
    manifest = listing.manifest
    bundle_id = manifest.id if manifest else listing.path.name
    return {
        "id": bundle_id,
        "version": manifest.version if manifest else "",
        "description": manifest.description if manifest else "",
        "is_default": settings.predict.bundle in (bundle_id, str(listing.path)),
        "n_genes": len(manifest.genes) if manifest else 0,
        "n_shown": sum(gene.status is not GeneStatus.HIDDEN for gene in manifest.genes) if manifest else 0,
        "has_card": manifest is not None and CARD_PAGE_FILE in manifest.files,
        "problem": listing.problem,
    }
