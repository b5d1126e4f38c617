"""A result folder as a run writes it, from a result made by hand; no DICOM objects."""

import json
from pathlib import Path

import numpy as np

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.engine import EngineFacts
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.anndata_export import write_anndata
from vst_dicom.encode.geojson import write_geojson
from vst_dicom.maps.summary import RunFacts, summarize

PICTURE_PX = 20
"""Base level pixels of a pixel of the picture, in both directions."""


def store(folder: Path, source: SourceSlide, result: SlideResult, genes: tuple[str, ...] | None = None) -> Path:
    """Write table, GeoJSON and summary; the picture is black with one red tile, the first."""
    folder.mkdir()
    size, tile, spacing = result.grid.size, result.grid.tile_size, source.plane.spacing
    picture = np.zeros(
        (size.n_rows * tile.n_rows // PICTURE_PX, size.n_columns * tile.n_columns // PICTURE_PX, 3), "u1"
    )
    left, top = (result.grid.corners_px[0] // PICTURE_PX).tolist()
    picture[top : top + tile.n_rows // PICTURE_PX, left : left + tile.n_columns // PICTURE_PX, 0] = 255
    picture_spacing = PixelSpacing(spacing.row_mm * PICTURE_PX, spacing.column_mm * PICTURE_PX)
    write_anndata(folder / "expression.h5ad", source, result, picture, picture_spacing)
    write_geojson(folder / "tiles.geojson", source, result, genes)
    slide = {"series_instance_uid": source.series_instance_uid, "frame_of_reference_uid": source.frame_of_reference_uid}
    facts = RunFacts(slide, EngineFacts("torch", "cpu", "fp32", 32), {}, {}, [])
    summary = summarize(result, result.expression.genes, facts)
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder
