"""Predicted expression as AnnData (.h5ad), laid out as scanpy and squidpy expect spatial data."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from anndata import AnnData

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.pixels import RgbImage
from vst_dicom.domain.result import SlideResult
from vst_dicom.domain.signature import SignatureScore
from vst_dicom.domain.tissue import TISSUE_CLASSES
from vst_dicom.domain.wording import RESEARCH_USE_ONLY, UNIT
from vst_dicom.encode.provenance import require_shown_genes
from vst_dicom.files import whole_file

_SAME: Final = 1e-6
"""Relative difference of two scale factors that are meant to be one."""


def write_anndata(
    path: Path,
    source: SourceSlide,
    result: SlideResult,
    thumbnail: RgbImage | None = None,
    thumbnail_spacing: PixelSpacing | None = None,
) -> None:
    """Write tiles by genes, with places, quality, evidence and the slide's thumbnail.

    ``obsm["spatial"]`` holds x, y of tile centers in base level pixels, pixel centers at whole numbers. Columns of
    ``obs`` that begin with ``signature_`` hold scores of shown signatures, ``uns["vst_dicom"]["signatures"]`` their
    units and evidence. ``layers["interval_half_width"]`` holds half widths of the prediction intervals,
    ``layers["gi_star"]`` how far a tile's neighborhood stands out from similar tissue, and ``obs["distance"]`` how
    unlike the training tissue a tile is, where the bundle can tell; tissue that was masked is no row, its grid cells
    stand in ``uns["vst_dicom"]["masked_cells"]``. The values are predictions; ``uns["vst_dicom"]`` says so.

    Parameters
    ----------
    path
        Where to.
    source
        The slide.
    result
        Its predictions.
    thumbnail
        Picture of the whole total pixel matrix.
    thumbnail_spacing
        Distance between its pixel centers; needed with a thumbnail.

    Raises
    ------
    BundleError
        If the result has no gene to show.
    ValueError
        If a thumbnail comes without its spacing.
    """
    require_shown_genes(result)
    layers = {"interval_half_width": result.half_width, "gi_star": result.gi_star}
    table = AnnData(
        X=np.ascontiguousarray(result.expression.values, dtype=np.float32),
        obs=_tiles(source, result),
        var=_genes(result),
        obsm={"spatial": result.grid.centers_px},
        uns={"vst_dicom": _about(source, result)},
        layers={name: layer for name, layer in layers.items() if layer is not None},
    )
    if thumbnail is not None:
        if thumbnail_spacing is None:
            raise ValueError("a thumbnail needs its pixel spacing")
        table.uns["spatial"] = {source.series_instance_uid: _picture(source, result, thumbnail, thumbnail_spacing)}
    with whole_file(path) as temporary:
        table.write_h5ad(temporary, compression="gzip")


def _tiles(source: SourceSlide, result: SlideResult) -> pd.DataFrame:
    rows, columns = result.grid.cells.T
    positions = source.plane.to_slide_mm(*result.grid.centers_px.T)
    return pd.DataFrame(
        {
            "row": rows,
            "column": columns,
            "x_mm": positions[:, 0],
            "y_mm": positions[:, 1],
            "tissue_fraction": result.quality.tissue_fraction,
            "sharpness": result.quality.sharpness,
            "blurred": result.quality.blurred,
            "inked": result.quality.inked,
            **_tissue_class(result),
            **({} if result.distance is None else {"distance": result.distance}),
            **{_column(score): score.values for score in result.signatures if score.values is not None},
        },
        index=pd.Index([f"{row}x{column}" for row, column in zip(rows, columns, strict=True)], name="tile"),
    )


def _tissue_class(result: SlideResult) -> dict[str, Any]:
    if result.tissue_class is None:
        return {}
    return {"tissue_class": pd.Categorical.from_codes(result.tissue_class, categories=pd.Index(TISSUE_CLASSES))}


def _column(score: SignatureScore) -> str:
    """Name a column of ``obs`` after a signature."""
    return f"signature_{score.signature.signature_id.replace('-', '_')}"


def _genes(result: SlideResult) -> pd.DataFrame:
    genes = result.expression.genes
    intervals = [gene.held_out_interval or (np.nan, np.nan) for gene in genes]
    return pd.DataFrame(
        {
            "hgnc_id": [gene.gene.hgnc_id or "" for gene in genes],
            "status": [gene.status.value for gene in genes],
            "reason": [gene.reason for gene in genes],
            "held_out_r": [gene.held_out_r for gene in genes],
            "held_out_r_lower": [lower for lower, _ in intervals],
            "held_out_r_upper": [upper for _, upper in intervals],
            "held_out_unit": [gene.held_out_unit for gene in genes],
            "n_held_out": [gene.n_held_out for gene in genes],
            "depth_adjusted_r": [np.nan if gene.depth_adjusted_r is None else gene.depth_adjusted_r for gene in genes],
        },
        index=pd.Index([gene.gene.symbol for gene in genes], name="symbol"),
    )


def _about(source: SourceSlide, result: SlideResult) -> dict[str, Any]:
    return {
        "quantity": "predicted mRNA expression, inferred from H&E morphology",
        "unit": UNIT,
        "intended_use": RESEARCH_USE_ONLY,
        "bundle": result.bundle.bundle_id,
        "bundle_version": result.bundle.version,
        "bundle_sha256": result.bundle.sha256,
        "bundle_description": result.bundle.description,
        "result_key": result.key,
        "created": result.created.isoformat(),
        "study_instance_uid": source.study_instance_uid,
        "series_instance_uid": source.series_instance_uid,
        "sop_instance_uids": np.array([str(header.SOPInstanceUID) for header in source.instances], dtype=object),
        "tile_size_px": np.array([result.grid.tile_size.n_rows, result.grid.tile_size.n_columns]),
        "pixel_spacing_mm": np.array([source.plane.spacing.row_mm, source.plane.spacing.column_mm]),
        "origin_mm": np.array(source.plane.origin_mm),
        "orientation": np.array(source.plane.orientation),
        "parameters": dict(result.parameters),
        "warnings": np.array(result.warnings, dtype=object),
        "interval_note": result.interval_note,
        "masked_cells": result.masked_cells,
        "signatures": {
            _column(score): {
                "name": score.signature.name,
                "unit": score.signature.scoring.unit,
                "coverage": score.signature.coverage,
                "status": score.signature.status.value,
                "reason": score.signature.reason,
                "note": score.signature.note,
                "genes": np.array([gene.gene.symbol for gene in score.signature.genes], dtype=object),
            }
            for score in result.signatures
            if score.values is not None
        },
    }


def _picture(
    source: SourceSlide, result: SlideResult, thumbnail: RgbImage, thumbnail_spacing: PixelSpacing
) -> dict[str, Any]:
    """Follow scanpy's layout for Visium: spatial coordinates × scale factor are pixels of the picture.

    There is one factor for both directions, so that a picture whose pixels have another shape than those of the base
    level is stretched along y.
    """
    base = source.plane.spacing
    x_factor, y_factor = base.column_mm / thumbnail_spacing.column_mm, base.row_mm / thumbnail_spacing.row_mm
    if abs(x_factor / y_factor - 1) > _SAME:
        import cv2

        n_rows = max(1, round(thumbnail.shape[0] * x_factor / y_factor))
        thumbnail = np.asarray(cv2.resize(thumbnail, (thumbnail.shape[1], n_rows), interpolation=cv2.INTER_AREA))
    return {
        "images": {"hires": thumbnail},
        "scalefactors": {
            "tissue_hires_scalef": x_factor,
            "spot_diameter_fullres": float(min(result.grid.tile_size.n_columns, result.grid.tile_size.n_rows)),
        },
    }
