"""Results opened for looking at, each once for many requests."""

import json
import re
from pathlib import Path
from threading import Lock
from typing import Any, Final

from cachetools import LRUCache, cached

from vst_dicom.domain.errors import InputError, MissingInputError, ResourceError
from vst_dicom.ledger.catalog import list_results
from vst_dicom.ledger.jobs import list_job_files, read_job
from vst_dicom.service.addresses import API
from vst_dicom.service.archive import Archive
from vst_dicom.service.pyramid import Pyramid
from vst_dicom.service.tile_values import TileValues
from vst_dicom.service.view_model import (
    BundleFacts,
    Grid,
    HotspotView,
    Picture,
    SlideFacts,
    View,
    describe_classes,
    describe_hidden,
    describe_layers,
)

SUMMARY_FILE: Final = "summary.json"
GEOJSON_FILE: Final = "tiles.geojson"
ANNDATA_FILE: Final = "expression.h5ad"
"""As `vst_dicom.pipeline.writing` names them, which would load the model's libraries here."""

_OPEN_SLIDES: Final = 16
_OPEN_VALUES: Final = 4
_NUMBER: Final = re.compile(r"hotspot (\d+)$")


class SlideViews:
    """Opens results.

    Parameters
    ----------
    archive
        What is served.
    spool
        Folder of received instances.
    """

    def __init__(self, archive: Archive, spool: Path) -> None:
        self._archive, self._spool = archive, spool
        self.pyramid = cached(LRUCache[object, Pyramid](_OPEN_SLIDES), lock=Lock())(self._open_pyramid)
        self.values = cached(LRUCache[object, TileValues](_OPEN_VALUES), lock=Lock())(self._open_values)

    def check(self, key: str) -> None:
        """Refuse the key of a result that is not published.

        Raises
        ------
        MissingInputError
            If there is none.
        """
        with self._archive.connect() as connection:
            if not list_results(connection, key=key, limit=1):
                raise MissingInputError("there is no such result")

    def view(self, key: str) -> View:
        """Describe a result.

        Raises
        ------
        MissingInputError
            If there is none.
        ResourceError
            If its folder cannot be read.
        """
        self.check(key)
        folder = self._archive.result_folder(key)
        try:
            summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResourceError("the folder of a result cannot be read; ask again later") from error
        values = self.values(key) if (folder / ANNDATA_FILE).is_file() else None
        return View(
            notice=summary["notice"],
            key=key,
            created=summary["created"],
            bundle=BundleFacts(**summary["bundle"]),
            slide=self._slide(key, summary, values),
            grid=None if values is None else _grid(values, summary),
            layers=[] if values is None else describe_layers(summary, values),
            hidden=describe_hidden(summary, all_=values is None),
            tissue_classes=describe_classes(summary),
            hotspots=_hotspots(summary, folder / GEOJSON_FILE),
            hotspots_note=summary["hotspots_note"],
            interval_note=summary["intervals"] or "",
            warnings=summary["warnings"],
        )

    def _slide(self, key: str, summary: dict[str, Any], values: TileValues | None) -> SlideFacts:
        facts = {name: summary["slide"][name] for name in SlideFacts.model_fields if name in summary["slide"]}
        picture = None
        if values is not None and values.picture_size is not None:
            size = values.picture_size
            picture = Picture(n_rows=size.n_rows, n_columns=size.n_columns, url=f"{API}/results/{key}/picture")
        try:
            return SlideFacts(**facts, levels=self.pyramid(key).levels, picture=picture)
        except InputError as error:
            return SlideFacts(**facts, levels=[], unreadable=str(error), picture=picture)

    def _open_pyramid(self, key: str) -> Pyramid:
        with self._archive.connect() as connection:
            names = list_job_files(connection, read_job(connection, key))
        return Pyramid(key, [self._spool / name for name in names])

    def _open_values(self, key: str) -> TileValues:
        path = self._archive.result_folder(key) / ANNDATA_FILE
        if not path.is_file():
            raise MissingInputError("this result was written without AnnData, from which values are read")
        return TileValues(path)


def _grid(values: TileValues, summary: dict[str, Any]) -> Grid:
    return Grid(
        tile_n_rows=values.tile_size.n_rows,
        tile_n_columns=values.tile_size.n_columns,
        n_tiles=values.n_tiles,
        n_masked=summary["tiles"]["n_masked"],
    )


def _hotspots(summary: dict[str, Any], geojson: Path) -> list[HotspotView]:
    outlines = _read_outlines(geojson) if summary["hotspots"] and geojson.is_file() else {}
    return [HotspotView(**found, outlines_px=outlines.get(found["number"], [])) for found in summary["hotspots"]]


def _read_outlines(geojson: Path) -> dict[int, list[list[tuple[float, float]]]]:
    """Outlines of hotspots by number; they stand before the tiles, one feature per line, and the rest is not read."""
    outlines = {}
    with geojson.open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            feature = json.loads(line.rstrip(",\n"))
            number = _NUMBER.search(feature["properties"].get("name", ""))
            if number is None:
                break
            rings = feature["geometry"]["coordinates"]
            outlines[int(number[1])] = [[(x, y) for x, y in ring[:-1]] for ring in rings]
    return outlines
