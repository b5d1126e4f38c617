"""Tiles and hotspots as GeoJSON (RFC 7946) in the form that QuPath imports."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.result import Hotspot, SlideResult
from vst_dicom.domain.tissue import name_class
from vst_dicom.domain.wording import HOTSPOT, RESEARCH_USE_ONLY, UNIT
from vst_dicom.encode import colors
from vst_dicom.encode.outlines import hotspots_by_gene, tile_corners_px
from vst_dicom.encode.provenance import require_shown_genes, result_uid
from vst_dicom.files import whole_file

Feature = dict[str, Any]

N_DECIMALS = 4
"""Kept of a value; far finer than any prediction."""


def write_geojson(path: Path, source: SourceSlide, result: SlideResult) -> None:
    """Write tiles with their predicted values, and hotspots as annotations.

    Coordinates are base level pixels; the outer corner of the top left pixel is (0, 0). Identifiers derive from the
    result, so importing twice does not double objects under other names.

    Parameters
    ----------
    path
        Where to.
    source
        The slide.
    result
        Its predictions.

    Raises
    ------
    BundleError
        If the result has no gene to show.
    """
    require_shown_genes(result)
    head = {
        "type": "FeatureCollection",
        "unit": UNIT,
        "intended_use": RESEARCH_USE_ONLY,
        "bundle": f"{result.bundle.bundle_id} {result.bundle.version}",
        "slide": source.series_instance_uid,
    }
    namespace = uuid.uuid5(uuid.NAMESPACE_OID, result_uid(source, result, "geojson"))
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(head)[:-1] + ', "features": [')
        separator = "\n"
        for features in (_hotspots(result, namespace), _tiles(result, namespace)):
            for feature in features:
                file.write(separator + json.dumps(feature, separators=(",", ":")))
                separator = ",\n"
        file.write("\n]}\n")


def _tiles(result: SlideResult, namespace: uuid.UUID) -> Iterator[Feature]:
    symbols = [panel_gene.gene.symbol for panel_gene in result.expression.genes]
    rings = tile_corners_px(result.grid).reshape(-1, 4, 2)
    values = result.expression.values.astype(np.float64).round(N_DECIMALS)
    for tile, ((row, column), ring) in enumerate(zip(result.grid.cells.tolist(), rings, strict=True)):
        properties: Feature = {
            "objectType": "tile",
            "measurements": dict(zip(symbols, values[tile].tolist(), strict=True)),
        }
        if result.tissue_class is not None:
            properties["metadata"] = {"tissue class": name_class(int(result.tissue_class[tile]))}
        yield _feature(uuid.uuid5(namespace, f"tile {row} {column}"), [ring], properties)


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
