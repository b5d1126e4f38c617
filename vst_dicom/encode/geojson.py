"""Tiles and hotspots as GeoJSON (RFC 7946) in the form that QuPath imports."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.result import Hotspot, SlideResult
from vst_dicom.domain.signature import PanelSignature
from vst_dicom.domain.tissue import TISSUE_CLASSES, name_class
from vst_dicom.domain.wording import HOTSPOT, RESEARCH_USE_ONLY, UNIT
from vst_dicom.encode import colors
from vst_dicom.encode.outlines import hotspots_by_gene, tile_corners_px
from vst_dicom.encode.provenance import require_shown_genes, result_uid
from vst_dicom.files import whole_file

Feature = dict[str, Any]

N_DECIMALS: Final = 4
"""Kept of a value; far finer than any prediction."""

_TILES_AT_ONCE: Final = 1024
"""Tiles whose measurements are rounded together."""

HALF_WIDTH: Final = "+/-"
"""Follows a gene's symbol in the name of the half width of its prediction interval."""

SIGNATURE: Final = "signature: "
"""Begins the name of a signature's score."""

DISTANCE: Final = "distance to training tissue"
"""Names how unlike the training tissue a tile is."""


def write_geojson(path: Path, source: SourceSlide, result: SlideResult, genes: tuple[str, ...] | None = None) -> None:
    """Write tiles with their predicted values, and hotspots as annotations.

    Coordinates are base level pixels; the outer corner of the top left pixel is (0, 0). Identifiers derive from the
    result, so importing twice does not double objects under other names. A tile's measurements are named as a user of
    measurement maps reads them: ``ERBB2`` and, where the result has them, ``ERBB2 +/-``, ``signature: Proliferation``
    and ``distance to training tissue``; its classification is its tissue class. The file is plain ASCII, because
    QuPath reads it in the platform's character set.

    Parameters
    ----------
    path
        Where to.
    source
        The slide.
    result
        Its predictions.
    genes
        Symbols of the genes whose values the tiles carry, all that are shown if None. Hotspots are always complete.

    Raises
    ------
    BundleError
        If the result has no gene to show.
    UsageError
        If a symbol names no shown gene.
    """
    require_shown_genes(result)
    names, values = _tile_numbers(result, genes)
    head: Feature = {
        "type": "FeatureCollection",
        "unit": UNIT,
        "intended_use": RESEARCH_USE_ONLY,
        "bundle": f"{result.bundle.bundle_id} {result.bundle.version}",
        "slide": source.series_instance_uid,
    }
    if result.half_width is not None:
        head["intervals"] = result.interval_note
    if scores := _shown_scores(result):
        head["signatures"] = {SIGNATURE + score.name: score.scoring.unit for score, _ in scores}
    namespace = uuid.uuid5(uuid.NAMESPACE_OID, result_uid(source, result, "geojson"))
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(head)[:-1] + ', "features": [')
        separator = "\n"
        for features in (_hotspots(result, namespace), _tiles(result, namespace, names, values)):
            for feature in features:
                file.write(separator + json.dumps(feature, separators=(",", ":")))
                separator = ",\n"
        file.write("\n]}\n")


def _tile_numbers(result: SlideResult, genes: tuple[str, ...] | None) -> tuple[list[str], list[NDArray[np.float32]]]:
    """Name the measurements of a tile, and give their values, arrays of shape ``(n_tiles, n)`` side by side."""
    columns = {panel_gene.gene.symbol: index for index, panel_gene in enumerate(result.expression.genes)}
    symbols = list(columns) if genes is None else list(dict.fromkeys(genes))
    unknown = [symbol for symbol in symbols if symbol not in columns]
    if unknown:
        msg = f"no map is shown for {', '.join(unknown)}; choose from the genes of the result"
        raise UsageError(msg)
    chosen = [columns[symbol] for symbol in symbols]
    names, values = symbols, [result.expression.values[:, chosen]]
    if result.half_width is not None:
        names = names + [f"{symbol} {HALF_WIDTH}" for symbol in symbols]
        values.append(result.half_width[:, chosen])
    for signature, score in _shown_scores(result):
        names = names + [SIGNATURE + signature.name]
        values.append(score[:, None])
    if result.distance is not None:
        names = names + [DISTANCE]
        values.append(result.distance[:, None])
    return names, values


def _shown_scores(result: SlideResult) -> list[tuple[PanelSignature, NDArray[np.float32]]]:
    return [(score.signature, score.values) for score in result.signatures if score.values is not None]


def _tiles(
    result: SlideResult, namespace: uuid.UUID, names: list[str], values: list[NDArray[np.float32]]
) -> Iterator[Feature]:
    rings = tile_corners_px(result.grid).reshape(-1, 4, 2)
    numbers = _rounded_rows(values)
    for tile, ((row, column), ring) in enumerate(zip(result.grid.cells.tolist(), rings, strict=True)):
        properties: Feature = {
            "objectType": "tile",
            "measurements": dict(zip(names, next(numbers), strict=True)),
        }
        if result.tissue_class is not None:
            tissue_class = int(result.tissue_class[tile])
            color = list(colors.TISSUE_CLASSES[tissue_class])
            properties["classification"] = {"name": TISSUE_CLASSES[tissue_class], "color": color}
        yield _feature(uuid.uuid5(namespace, f"tile {row} {column}"), [ring], properties)


def _rounded_rows(values: list[NDArray[np.float32]]) -> Iterator[list[float]]:
    """Measurements of one tile after the other; all of them as double precision would fill a gigabyte."""
    for start in range(0, len(values[0]), _TILES_AT_ONCE):
        rows = np.concatenate([part[start : start + _TILES_AT_ONCE] for part in values], axis=1)
        yield from rows.astype(np.float64).round(N_DECIMALS).tolist()


def _hotspots(result: SlideResult, namespace: uuid.UUID) -> Iterator[Feature]:
    for rank, (panel_gene, hotspots) in enumerate(hotspots_by_gene(result)):
        symbol = panel_gene.gene.symbol
        label = f"High predicted {symbol} expression"
        color = list(colors.HOTSPOTS[rank % len(colors.HOTSPOTS)])
        for hotspot in hotspots:
            properties = {
                "objectType": "annotation",
                "name": f"{symbol} hotspot {hotspot.number}",
                "classification": {"name": label, "color": color},
                "isLocked": True,
                "measurements": _measurements(hotspot),
                "metadata": {
                    "tissue class": name_class(hotspot.tissue_class),
                    "unit": UNIT,
                    "meaning": HOTSPOT,
                    "intended use": RESEARCH_USE_ONLY,
                },
            }
            yield _feature(uuid.uuid5(namespace, f"hotspot {hotspot.number}"), list(hotspot.outlines_px), properties)


def _measurements(hotspot: Hotspot) -> dict[str, float]:
    symbol = hotspot.gene.gene.symbol
    numbers = {
        "Area mm^2": hotspot.area_mm2,
        f"Mean {symbol}": hotspot.mean,
        f"Mean {symbol} of similar tissue": hotspot.class_mean,
        "Gi*": hotspot.z,
        "Gi* threshold": hotspot.threshold,
        "Masked nearby": hotspot.masked_nearby,
    }
    if hotspot.interval is not None:
        numbers[f"Mean {symbol}, lower limit"], numbers[f"Mean {symbol}, upper limit"] = hotspot.interval
    return {name: round(number, N_DECIMALS) for name, number in numbers.items()}


def _feature(identifier: uuid.UUID, rings: list[NDArray[np.float64]], properties: Feature) -> Feature:
    """Close the rings: in GeoJSON the last position is the first."""
    return {
        "type": "Feature",
        "id": str(identifier),
        "geometry": {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()] for ring in rings]},
        "properties": properties,
    }
