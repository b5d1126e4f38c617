"""Tiles and regions as GeoJSON (RFC 7946) in the form that QuPath imports."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.result import SlideResult
from vst_dicom.domain.wording import RESEARCH_USE_ONLY, UNIT
from vst_dicom.encode import colors
from vst_dicom.encode.outlines import regions_by_gene, tile_corners_px
from vst_dicom.encode.provenance import require_shown_genes, result_uid
from vst_dicom.files import whole_file

Feature = dict[str, Any]

N_DECIMALS = 4
"""Kept of a value; far finer than any prediction."""


def write_geojson(path: Path, source: SourceSlide, result: SlideResult) -> None:
    """Write tiles with their predicted values, and regions as annotations.

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
        for features in (_regions(result, namespace), _tiles(result, namespace)):
            for feature in features:
                file.write(separator + json.dumps(feature, separators=(",", ":")))
                separator = ",\n"
        file.write("\n]}\n")


def _tiles(result: SlideResult, namespace: uuid.UUID) -> Iterator[Feature]:
    symbols = [panel_gene.gene.symbol for panel_gene in result.expression.genes]
    rings = tile_corners_px(result.grid).reshape(-1, 4, 2)
    values = result.expression.values.astype(np.float64).round(N_DECIMALS)
    for (row, column), ring, tile_values in zip(result.grid.cells.tolist(), rings, values, strict=True):
        yield _feature(
            uuid.uuid5(namespace, f"tile {row} {column}"),
            [ring],
            {"objectType": "tile", "measurements": dict(zip(symbols, tile_values.tolist(), strict=True))},
        )


def _regions(result: SlideResult, namespace: uuid.UUID) -> Iterator[Feature]:
    for rank, (panel_gene, regions) in enumerate(regions_by_gene(result)):
        symbol = panel_gene.gene.symbol
        label = f"High predicted {symbol} expression"
        color = list(colors.REGIONS[rank % len(colors.REGIONS)])
        for region in regions:
            properties = {
                "objectType": "annotation",
                "name": f"{symbol} region {region.number}",
                "classification": {"name": label, "color": color},
                "isLocked": True,
                "measurements": {
                    "Area mm^2": round(region.area_mm2, 6),
                    f"Mean {symbol}": round(region.mean, N_DECIMALS),
                    f"Least {symbol}": round(region.threshold, N_DECIMALS),
                },
                "metadata": {"unit": UNIT, "intended use": RESEARCH_USE_ONLY},
            }
            yield _feature(uuid.uuid5(namespace, f"region {region.number}"), list(region.outlines_px), properties)


def _feature(identifier: uuid.UUID, rings: list[NDArray[np.float64]], properties: Feature) -> Feature:
    """Close the rings: in GeoJSON the last position is the first."""
    return {
        "type": "Feature",
        "id": str(identifier),
        "geometry": {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()] for ring in rings]},
        "properties": properties,
    }
