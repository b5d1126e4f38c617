"""The name of a piece of work: the same slide, model and choices always give the same key."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields

from vst_dicom.dicom.source import Slide, SourceSlide
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.result import BundleIdentity
from vst_dicom.domain.tiles import TileGrid


def result_parameters(
    slide: Slide, grid: TileGrid, genes: Sequence[str] | None, encoding: Encoding, *, coarse: bool = False
) -> dict[str, str]:
    """State what was chosen, by the user or for them, as text."""
    source, base = slide.source, slide.levels[0]
    plane, n_planes = source.focal_plane
    height_um = grid.tile_size.n_rows * base.spacing.row_um
    width_um = grid.tile_size.n_columns * base.spacing.column_um
    return {
        "base_spacing_um": f"{base.spacing.row_um:.6g} x {base.spacing.column_um:.6g}"
        + (" (assumed, given by the user)" if source.spacing_assumed else ""),
        "tile_um": f"{height_um:.6g} x {width_um:.6g}",
        "optical_path": source.optical_path or "the only one",
        "focal_plane": f"{plane + 1} of {n_planes}",
        "hotspots": "Gi* within 300 um, surrogate maps, relative to similar tissue",
        "genes": "all shown" if genes is None else ",".join(genes),
        **({"coarse": "one tile of four, each for a square of two by two"} if coarse else {}),
        **_unusual(encoding),
    }


def _unusual(encoding: Encoding) -> dict[str, str]:
    """State what differs from the usual way of writing; another way makes other objects, which need other names."""
    usual = Encoding()
    chosen = {field.name: getattr(encoding, field.name) for field in fields(encoding) if field.name != "validate"}
    return {name: _as_text(value) for name, value in chosen.items() if value != getattr(usual, name)}


def _as_text(value: object) -> str:
    """Write a setting; the order of a set means nothing, that of a list does."""
    if isinstance(value, frozenset):
        value = sorted(value)
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def result_key(source: SourceSlide, bundle: BundleIdentity, parameters: dict[str, str], job_key: str = "") -> str:
    """SHA-256 over what decides a result: study, slide content, bundle, parameters.

    Every UID of the result derives from it, so that a repeated run names its objects alike. A job's key, where there
    is one, tells apart two versions of a slide that differ in their headers only.
    """
    parts = [
        source.study_instance_uid,
        sorted(str(instance.SOPInstanceUID) for instance in source.instances),
        source.content_sha256,
        bundle.sha256,
        parameters,
        *([job_key] if job_key else []),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
