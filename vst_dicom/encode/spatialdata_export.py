"""A result as SpatialData zarr: picture of the slide, outlines of the tiles, table."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import UsageError
from vst_dicom.encode.stored_result import StoredResult
from vst_dicom.files import whole_folder

PICTURE: Final = "slide"
TILES: Final = "tiles"
TABLE: Final = "expression"

MICROMETERS: Final = "global"
"""Coordinate system of the total pixel matrix: micrometers from its outer top left corner, x right and y down."""

SLIDE_MM: Final = "slide_mm"
"""Coordinate system of the glass: x, y in millimeters in the slide's frame of reference."""


def write_spatialdata(out: Path, stored: StoredResult, *, overwrite: bool = False) -> None:
    """Write a SpatialData store.

    Outlines are stored in base level pixels, the outer corner of the top left pixel at (0, 0); transformations lead
    from there, and from the picture, into `MICROMETERS` and `SLIDE_MM`.

    Parameters
    ----------
    out
        The store, a folder to make.
    stored
        The result.
    overwrite
        Whether it may take the place of a folder that is not empty.

    Raises
    ------
    UsageError
        If spatialdata is not installed, or `out` may not be replaced.
    """
    try:
        from spatialdata import SpatialData
        from spatialdata.models import Image2DModel, ShapesModel, TableModel
    except ImportError as error:
        msg = "SpatialData needs a library that is not installed: pip install 'vst-dicom[spatialdata]'"
        raise UsageError(msg) from error
    import geopandas
    import shapely

    table = stored.table.copy()
    about = table.uns["vst_dicom"]
    (pictures,) = table.uns.pop("spatial", {"": None}).values()
    table.uns["vst_dicom"] = {**about, **stored.about}
    table.obs["region"] = TILES
    table.obs["region"] = table.obs["region"].astype("category")
    table.obs["tile_number"] = np.arange(table.n_obs)

    n_rows, n_columns = np.asarray(about["tile_size_px"]).tolist()
    left, top = table.obs["column"].to_numpy() * n_columns, table.obs["row"].to_numpy() * n_rows
    boxes = shapely.box(left, top, left + n_columns, top + n_rows)
    outlines = geopandas.GeoDataFrame(geometry=boxes, index=table.obs["tile_number"].to_numpy())
    elements: dict[str, Any] = {
        TILES: ShapesModel.parse(outlines, transformations=_transformations(about, 1.0)),
        TABLE: TableModel.parse(table, region=TILES, region_key="region", instance_key="tile_number"),
    }
    if pictures is not None:
        factor = float(pictures["scalefactors"]["tissue_hires_scalef"])
        elements[PICTURE] = Image2DModel.parse(
            np.moveaxis(np.asarray(pictures["images"]["hires"]), -1, 0),
            dims=("c", "y", "x"),
            c_coords=["r", "g", "b"],
            transformations=_transformations(about, 1 / factor),
        )
    with whole_folder(out, overwrite=overwrite) as folder:
        written = folder / "written"
        SpatialData.init_from_elements(elements).write(written)
        for path in sorted(written.iterdir()):
            path.rename(folder / path.name)
        written.rmdir()


def _transformations(about: Any, base_px: float) -> dict[str, Any]:
    """Ways from pixel corner coordinates into both coordinate systems; a pixel is `base_px` base level pixels wide."""
    from spatialdata.transformations import Affine

    row_mm, column_mm = np.asarray(about["pixel_spacing_mm"]).tolist()
    origin, orientation = np.asarray(about["origin_mm"]), np.asarray(about["orientation"])
    step_x, step_y = orientation[:2] * column_mm, orientation[3:5] * row_mm
    corner = origin[:2] - (step_x + step_y) / 2
    to_um = np.diag([base_px * column_mm * 1000, base_px * row_mm * 1000, 1])
    to_slide: NDArray[np.float64] = np.eye(3)
    to_slide[:2] = np.column_stack([step_x * base_px, step_y * base_px, corner])
    axes = ("x", "y")
    return {MICROMETERS: Affine(to_um, axes, axes), SLIDE_MM: Affine(to_slide, axes, axes)}
