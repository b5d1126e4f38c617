"""What the slide view needs of a result, as JSON: from the summary, never computed anew."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from vst_dicom.encode import colors
from vst_dicom.service.pyramid import PyramidLevel
from vst_dicom.service.tile_values import DISTANCE, GENE, HALF_WIDTH, SIGNATURE, TileValues


class HeldOut(BaseModel):
    """Evidence from tissue that the model never saw."""

    r: float | None
    interval: tuple[float, float] | None
    unit: str | None
    n: int


class Layer(BaseModel):
    """Something with one value per tile: a gene, a signature, or the distance to the training tissue."""

    name: str
    """As in ``layers/{name}``."""
    kind: str
    label: str
    unit: str
    status: str
    reason: str
    ranks_only: bool = False
    held_out: HeldOut | None = None
    half_width: str | None = None
    """Name of the layer with half widths of its prediction intervals."""
    note: str = ""
    coverage: str = ""


class Hidden(BaseModel):
    """A gene or signature that is not shown; it has no values."""

    kind: str
    label: str
    reason: str
    held_out: HeldOut | None = None
    coverage: str = ""


class HotspotView(BaseModel):
    """A region of high predicted expression relative to similar tissue."""

    number: int
    gene: str
    n_tiles: int
    area_mm2: float
    mean: float
    interval: tuple[float, float] | None
    class_mean: float
    tissue_class: str
    masked_nearby: float
    outlines_px: list[list[tuple[float, float]]]
    """Rings x, y; base level, outer corner of the top left pixel at 0, 0. Empty where GeoJSON was not written."""


class Grid(BaseModel):
    """How tiles lie: cell (row, column) begins at (row, column) times the size of a tile."""

    tile_n_rows: int
    tile_n_columns: int
    n_tiles: int
    n_masked: int


class Picture(BaseModel):
    """Small picture of the whole slide."""

    n_rows: int
    n_columns: int
    url: str


class SlideFacts(BaseModel):
    """The slide."""

    study_instance_uid: str
    series_instance_uid: str
    n_rows: int
    n_columns: int
    spacing_um: tuple[float, float]
    """Row, column."""
    spacing_assumed: bool
    levels: list[PyramidLevel]
    """The largest first."""
    unreadable: str = ""
    """Why there are no levels."""
    picture: Picture | None


class BundleFacts(BaseModel):
    """Which model."""

    id: str
    version: str
    sha256: str
    description: str


class TissueClass(BaseModel):
    """A kind of tissue that tiles may look like."""

    name: str
    n_tiles: int
    color: tuple[int, int, int]


class View(BaseModel):
    """Everything but the values. For research use only; not for use in diagnostic procedures."""

    notice: str
    key: str
    created: str
    bundle: BundleFacts
    slide: SlideFacts
    grid: Grid | None
    """None where the result was written without AnnData, from which values are read."""
    layers: list[Layer]
    hidden: list[Hidden]
    tissue_classes: list[TissueClass] | None
    """In the order of the indices in ``tissue-class``; None where tissue was not classified."""
    hotspots: list[HotspotView]
    hotspots_note: str
    interval_note: str
    warnings: list[str]


def describe_layers(summary: Mapping[str, Any], values: TileValues) -> list[Layer]:
    """List what has values."""
    layers = []
    for gene in summary["genes"]:
        name, half_width = f"{GENE}:{gene['symbol']}", f"{HALF_WIDTH}:{gene['symbol']}"
        if gene["shown"] and name in values:
            layers.append(
                Layer(
                    name=name,
                    kind=GENE,
                    label=gene["symbol"],
                    unit=summary["unit"],
                    ranks_only=gene["ranks_only"],
                    half_width=half_width if half_width in values else None,
                    **_evidence(gene),
                )
            )
    for signature in summary["signatures"]:
        name = f"{SIGNATURE}:{signature['id'].replace('-', '_')}"
        if signature["shown"] and name in values:
            layers.append(
                Layer(
                    name=name,
                    kind=SIGNATURE,
                    label=signature["name"],
                    unit=signature["unit"],
                    note=" ".join(filter(None, (signature["note"], signature["citation"]))),
                    coverage=signature["coverage"],
                    **_evidence(signature),
                )
            )
    if DISTANCE in values:
        layers.append(
            Layer(
                name=DISTANCE,
                kind=DISTANCE,
                label="Distance to training tissue",
                unit="1 = at the limit; beyond it tissue is masked",
                status="",
                reason="How unlike the training tissue each tile is. The higher, the less a prediction says.",
            )
        )
    return layers


def describe_hidden(summary: Mapping[str, Any], *, all_: bool) -> list[Hidden]:
    """List what is not shown, with the reason; `all_` if no values can be read at all."""
    hidden = []
    for kind, label, found in (
        *((GENE, "symbol", gene) for gene in summary["genes"]),
        *((SIGNATURE, "name", signature) for signature in summary["signatures"]),
    ):
        if found["shown"] and not all_:
            continue
        reason = found["reason"]
        if found["status"] != "hidden":
            reason = "Not chosen for this result." if not found["shown"] else "Its values were not written."
        hidden.append(
            Hidden(
                kind=kind,
                label=found[label],
                reason=reason,
                held_out=HeldOut(**_held_out(found)),
                coverage=found.get("coverage", ""),
            )
        )
    return hidden


def describe_classes(summary: Mapping[str, Any]) -> list[TissueClass] | None:
    """List the kinds of tissue with their colors."""
    if summary["tissue_classes"] is None:
        return None
    counts = zip(summary["tissue_classes"].items(), colors.TISSUE_CLASSES, strict=True)
    return [TissueClass(name=name, n_tiles=n_tiles, color=color) for (name, n_tiles), color in counts]


def _evidence(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"status": found["status"], "reason": found["reason"], "held_out": HeldOut(**_held_out(found))}


def _held_out(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found["held_out"][name] for name in ("r", "interval", "unit", "n")}
