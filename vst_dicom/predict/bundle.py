"""Open a bundle: hashes first, then tensors; nothing that could run code is ever read."""

import hashlib
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from vst_dicom.domain.errors import BundleError
from vst_dicom.domain.expression import PanelGene
from vst_dicom.domain.result import BundleIdentity
from vst_dicom.domain.signature import PanelSignature
from vst_dicom.predict.head import parse_head
from vst_dicom.predict.manifest import (
    CARD_FILE,
    CARD_PAGE_FILE,
    ENCODER_FILE,
    EVIDENCE_FILE,
    HEAD_FILE,
    TISSUE_FILE,
    TRUST_FILE,
    Manifest,
    parse_manifest,
)
from vst_dicom.predict.members import Head
from vst_dicom.predict.reference import reference_tile, tile_sha256
from vst_dicom.predict.tissue import TissueHead, parse_tissue_head
from vst_dicom.predict.trust import Trust, parse_trust
from vst_dicom.predict.weights_file import check_header

DEFAULT_BUNDLE: Final = "her2st-lite"
"""Id of the bundle that is used where none is named."""

MANIFEST_FILE: Final = "manifest.json"

_LIMITS_BYTES: Final[dict[str, int]] = {
    MANIFEST_FILE: 32 << 20,
    CARD_FILE: 32 << 20,
    CARD_PAGE_FILE: 64 << 20,
    EVIDENCE_FILE: 256 << 20,
    HEAD_FILE: 1 << 30,
    TISSUE_FILE: 1 << 30,
    TRUST_FILE: 256 << 20,
    ENCODER_FILE: 8 << 30,
}
"""Larger files are refused before they are read."""

_REFERENCE: Final = "reference_embedding"
"""Lies in the head's file beside its tensors."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle whose files are what its manifest says.

    Parameters
    ----------
    folder
        Where it lies.
    manifest, manifest_sha256
        What it says about itself, and the hash of those bytes.
    head
        Features to expression.
    reference_embedding
        Features of the reference tile when the bundle was fitted, shape ``(embed_dim,)``.
    card
        Text for people, Markdown.
    evidence
        Held-out figures, JSON.
    tissue
        Features to tissue class; None where held-out tissue does not support a classifier.
    trust
        What it knows about its own limits; older bundles know nothing.
    card_page
        The card as a page for a browser, HTML; empty in older bundles.
    """

    folder: Path
    manifest: Manifest
    manifest_sha256: str
    head: Head
    reference_embedding: NDArray[np.float32]
    card: str
    evidence: str
    tissue: TissueHead | None = None
    trust: Trust = field(default_factory=Trust)
    card_page: str = ""

    @property
    def encoder_file(self) -> Path:
        """Weights of the encoder, safetensors; read where they are used, since they may fill gigabytes."""
        return self.folder / ENCODER_FILE

    @property
    def identity(self) -> BundleIdentity:
        """What a result says about its model."""
        return BundleIdentity(self.manifest.id, self.manifest.version, self.manifest_sha256, self.manifest.description)

    @cached_property
    def genes(self) -> tuple[PanelGene, ...]:
        """The whole panel in the order of the head's columns, hidden genes included."""
        return tuple(entry.to_panel_gene() for entry in self.manifest.genes)

    @cached_property
    def signatures(self) -> tuple[PanelSignature, ...]:
        """All signatures that were judged when it was fitted, those that are not shown included."""
        panel = {entry.symbol: entry for entry in self.manifest.genes}
        return tuple(entry.to_panel_signature(panel) for entry in self.manifest.signatures)


@dataclass(frozen=True, slots=True)
class BundleListing:
    """A folder that holds a bundle, readable or not.

    Parameters
    ----------
    path
        Where it lies.
    manifest
        What it says about itself; None where that cannot be read.
    problem
        Why not; empty where it can.
    """

    path: Path
    manifest: Manifest | None
    problem: str = ""


def built_in_folder() -> Path:
    """Folder of the bundles that come with the package."""
    return Path(str(importlib.resources.files("vst_dicom"))) / "bundles"


def list_bundles(folders: Sequence[Path] = ()) -> tuple[BundleListing, ...]:
    """Find the built-in bundles and those directly inside the folders given; reads manifests only."""
    found: list[BundleListing] = []
    for folder in (built_in_folder(), *folders):
        if not folder.is_dir():
            continue
        found += [read_listing(path) for path in sorted(folder.iterdir()) if (path / MANIFEST_FILE).is_file()]
    return tuple(found)


def read_listing(folder: Path) -> BundleListing:
    """Read the manifest in a folder, as far as it can be read."""
    try:
        return BundleListing(folder, parse_manifest(_read(folder, MANIFEST_FILE)))
    except BundleError as error:
        return BundleListing(folder, None, str(error))


def read_card_page(folder: Path, manifest: Manifest) -> str:
    """Read the card of a bundle as a page for a browser; weights are neither read nor checked.

    Raises
    ------
    BundleError
        If the bundle is older than such pages, or the page is not the one that the manifest names.
    """
    if CARD_PAGE_FILE not in manifest.files:
        msg = f"bundle {manifest.id} was made before cards had a page; see: vst-dicom bundle card {manifest.id}"
        raise BundleError(msg)
    content = _read(folder, CARD_PAGE_FILE)
    if hashlib.sha256(content).hexdigest() != manifest.files[CARD_PAGE_FILE]:
        msg = f"{CARD_PAGE_FILE} in bundle {manifest.id} was changed; get the bundle again"
        raise BundleError(msg)
    return _decode(content, CARD_PAGE_FILE)


def read_identity(path_or_id: Path | str = DEFAULT_BUNDLE, folders: Sequence[Path] = ()) -> BundleIdentity:
    """Say which model a bundle is, by its manifest alone; weights are neither read nor checked.

    Parameters
    ----------
    path_or_id, folders
        As of `load_bundle`.

    Raises
    ------
    BundleError
        If there is no such bundle, or its manifest cannot be read.
    """
    content = _read(_find(path_or_id, folders), MANIFEST_FILE)
    manifest = parse_manifest(content)
    return BundleIdentity(manifest.id, manifest.version, hashlib.sha256(content).hexdigest(), manifest.description)


def load_bundle(path_or_id: Path | str = DEFAULT_BUNDLE, folders: Sequence[Path] = ()) -> Bundle:
    """Load a bundle after checking it.

    Order of checks: manifest, sizes, hashes of all files, then tensors. The reference tile is checked by
    `vst_dicom.predict.predictor.Predictor`, on the device that will do the work.

    Parameters
    ----------
    path_or_id
        Folder of a bundle, or the id of one that is built in or lies in one of `folders`.
    folders
        Where else to look for ids.

    Raises
    ------
    BundleError
        If there is no such bundle, or anything about it is wrong; nothing of it is used then.
    """
    folder = _find(path_or_id, folders)
    manifest_bytes = _read(folder, MANIFEST_FILE)
    manifest = parse_manifest(manifest_bytes)
    contents = {}
    for name, expected in manifest.files.items():
        if name == ENCODER_FILE:
            found = _hash(folder, name)
        else:
            contents[name] = _read(folder, name)
            found = hashlib.sha256(contents[name]).hexdigest()
        if found != expected:
            msg = (
                f"{name} in bundle {manifest.id} has SHA-256 {found}, the manifest says {expected}; "
                "get the bundle again"
            )
            raise BundleError(msg)
    check_header(folder / ENCODER_FILE, ENCODER_FILE)
    head, reference_embedding = _parse_head(contents[HEAD_FILE], manifest)
    return Bundle(
        folder=folder,
        manifest=manifest,
        manifest_sha256=hashlib.sha256(manifest_bytes).hexdigest(),
        head=head,
        reference_embedding=reference_embedding,
        card=_decode(contents[CARD_FILE], CARD_FILE),
        evidence=_decode(contents[EVIDENCE_FILE], EVIDENCE_FILE),
        tissue=_parse_tissue(contents, manifest),
        trust=_parse_trust(contents, manifest),
        card_page=_decode(contents.get(CARD_PAGE_FILE, b""), CARD_PAGE_FILE),
    )


def _find(path_or_id: Path | str, folders: Sequence[Path]) -> Path:
    """Folder of a bundle given by path or id; a folder on disk goes before an id."""
    path = Path(path_or_id)
    if path.is_dir():
        if not (path / MANIFEST_FILE).is_file():
            msg = f"{path} is not a bundle: it has no {MANIFEST_FILE}"
            raise BundleError(msg)
        return path
    known = list_bundles(folders)
    for listing in known:
        name = listing.manifest.id if listing.manifest else listing.path.name
        if name == str(path_or_id):
            return listing.path
    names = ", ".join(listing.manifest.id for listing in known if listing.manifest) or "none"
    msg = f"there is no bundle {str(path_or_id)!r}: neither a folder nor one of the known ids ({names})"
    raise BundleError(msg)


def _read(folder: Path, name: str) -> bytes:
    """Bytes of a file that lies in the folder itself and keeps to its limit."""
    path = _checked(folder, name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(folder, name, error) from error


def _hash(folder: Path, name: str) -> str:
    """SHA-256 of a file that lies in the folder itself and keeps to its limit, without holding it in memory."""
    try:
        with _checked(folder, name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(folder, name, error) from error


def _checked(folder: Path, name: str) -> Path:
    """Path of a file that lies in the folder itself and keeps to its limit."""
    path = folder / name
    if path.is_symlink() or path.resolve().parent != folder.resolve():
        msg = f"{name} in bundle {folder.name} is a link or leaves the folder; copy the file itself into the bundle"
        raise BundleError(msg)
    if not path.is_file():
        msg = f"bundle {folder.name} has no {name}; get the bundle again"
        raise BundleError(msg)
    limit = _LIMITS_BYTES[name]
    if path.stat().st_size > limit:
        msg = f"{name} in bundle {folder.name} is larger than {limit} bytes; this is not a bundle of this product"
        raise BundleError(msg)
    return path


def _unreadable(folder: Path, name: str, error: OSError) -> BundleError:
    return BundleError(f"{name} in bundle {folder.name} cannot be read: {error.strerror}; mend its permissions")


def _decode(content: bytes, name: str) -> str:
    """Text of a file."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        msg = f"{name} is not UTF-8 text; get the bundle again"
        raise BundleError(msg) from error


def _parse_tensors(content: bytes, name: str) -> dict[str, NDArray[np.float32]]:
    """Float32 tensors of a safetensors file; anything else is refused."""
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        kind = "a pickled PyTorch file" if content[:1] == b"\x80" or content[:2] == b"PK" else "not a safetensors file"
        msg = f"{name} is {kind}, which is never loaded; get the bundle again or convert it to safetensors"
        raise BundleError(msg) from error
    for key, tensor in tensors.items():
        if tensor.dtype != np.float32:
            msg = f"{name}: {key} is {tensor.dtype}, not float32; get the bundle again"
            raise BundleError(msg)
    return tensors


def _parse_head(content: bytes, manifest: Manifest) -> tuple[Head, NDArray[np.float32]]:
    """Head and reference embedding, whose shapes fit the manifest."""
    tensors = _parse_tensors(content, HEAD_FILE)
    if _REFERENCE not in tensors:
        msg = f"{HEAD_FILE} has no {_REFERENCE}; get the bundle again"
        raise BundleError(msg)
    reference_embedding = tensors.pop(_REFERENCE)
    head = parse_head(manifest.head, tensors)
    encoder = manifest.encoder
    found = (head.n_features, head.n_genes, reference_embedding.shape)
    expected = (len(encoder.context) * encoder.embed_dim, len(manifest.genes), (encoder.embed_dim,))
    if found != expected:
        msg = (
            f"{HEAD_FILE} does not fit the manifest: features, genes, reference embedding are {found}, "
            f"the manifest says {expected}; get the bundle again"
        )
        raise BundleError(msg)
    if tile_sha256(reference_tile(encoder.tile_px)) != manifest.reference_embedding.tile_sha256:
        raise BundleError("the bundle was fitted with another reference tile; train it with this version")
    return head, reference_embedding


def _parse_tissue(contents: dict[str, bytes], manifest: Manifest) -> TissueHead | None:
    """Tissue classifier, where the manifest has one, that fits it."""
    form = manifest.tissue
    if form is None:
        return None
    head = parse_tissue_head(
        form.classes, manifest.encoder.embed_dim, _parse_tensors(contents[TISSUE_FILE], TISSUE_FILE)
    )
    if len(head.components) != form.n_components:
        msg = (
            f"{TISSUE_FILE} has {len(head.components)} components, the manifest says {form.n_components}; "
            "get the bundle again"
        )
        raise BundleError(msg)
    return head


def _parse_trust(contents: dict[str, bytes], manifest: Manifest) -> Trust:
    """Read what the bundle knows about its limits, which fits the manifest; nothing where the manifest has no part."""
    if TRUST_FILE not in contents:
        return Trust()
    return parse_trust(
        _parse_tensors(contents[TRUST_FILE], TRUST_FILE),
        n_components=None if manifest.distribution is None else manifest.distribution.n_components,
        quantile=None if manifest.uncertainty is None else manifest.uncertainty.quantile,
        embed_dim=manifest.encoder.embed_dim,
        n_genes=len(manifest.genes),
    )
