"""GeoJSON of a result once more, with other genes."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vst_dicom.domain.errors import MissingInputError
from vst_dicom.encode.geojson import HALF_WIDTH, N_DECIMALS
from vst_dicom.encode.stored_result import TILES_FILE, StoredResult
from vst_dicom.files import whole_file


def rewrite_geojson(path: Path, stored: StoredResult) -> None:
    """Write the result's own tiles and hotspots again, the tiles with the values of the chosen genes only.

    Identifiers stay, so that a viewer takes the tiles for those that it has.

    Parameters
    ----------
    path
        Where to.
    stored
        The result, of the chosen genes.

    Raises
    ------
    MissingInputError
        If the result has no GeoJSON, or another number of tiles in it.
    """
    own = stored.folder / TILES_FILE
    try:
        collection = json.loads(own.read_text(encoding="utf-8"))
        tiles = [one["properties"] for one in collection["features"] if one["properties"]["objectType"] == "tile"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{stored.folder} has no readable {TILES_FILE}, whose outlines are needed; predict again with geojson too"
        raise MissingInputError(msg) from error
    names, values = _numbers(stored)
    if len(tiles) != len(values):
        msg = f"{own} has {len(tiles)} tiles, and the table {len(values)}: they are of different runs; predict again"
        raise MissingInputError(msg)
    genes = {gene["symbol"] for gene in stored.summary["genes"]}
    for properties, row in zip(tiles, values.tolist(), strict=True):
        others = {
            name: value
            for name, value in properties["measurements"].items()
            if name.removesuffix(f" {HALF_WIDTH}") not in genes
        }
        properties["measurements"] = {**dict(zip(names, row, strict=True)), **others}
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(collection, file, separators=(",", ":"))


def _numbers(stored: StoredResult) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float64]]]:
    symbols = list(stored.table.var_names)
    names, values = symbols, [np.asarray(stored.table.X)]
    if "interval_half_width" in stored.table.layers:
        names = names + [f"{symbol} {HALF_WIDTH}" for symbol in symbols]
        values.append(np.asarray(stored.table.layers["interval_half_width"]))
    return names, np.concatenate(values, axis=1).astype(np.float64).round(N_DECIMALS)
