"""Run by an interpreter that has scanpy, squidpy and spatialdata: opens a result and prints what they make of it."""

import json
import sys
from pathlib import Path


def read_table(folder: Path) -> dict[str, object]:
    """Draw and measure the table with scanpy and squidpy."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    import scanpy as sc
    import squidpy as sq

    table = sc.read_h5ad(folder / "expression.h5ad")
    (library,) = table.uns["spatial"]
    scanpy_axes = sc.pl.spatial(table, color="ERBB2", show=False)
    plt.savefig(folder / "scanpy.png")
    plt.close("all")
    sq.pl.spatial_scatter(table, color="ERBB2", shape="square", library_id=library)
    plt.savefig(folder / "squidpy.png")
    sq.gr.spatial_neighbors(table, coord_type="grid", n_neighs=4)
    sq.gr.spatial_autocorr(table, mode="moran", n_perms=None)
    found = table.uns["moranI"]
    return {
        "version": [sc.__version__, sq.__version__],
        "morans_i": found["I"].to_dict(),
        "n_neighbors": table.obsp["spatial_connectivities"].getnnz(axis=1).tolist(),
        "drawn": [len(axes.collections) + len(axes.patches) for axes in scanpy_axes],
    }


def read_store(path: Path) -> dict[str, object]:
    """Read a SpatialData store."""
    import numpy as np
    from spatialdata import get_extent, join_spatialelement_table, read_zarr, transform

    store = read_zarr(path)
    tiles = store["tiles"]
    _, joined = join_spatialelement_table(sdata=store, spatial_element_names="tiles", table_name="expression")
    on_glass = transform(tiles, to_coordinate_system="slide_mm").geometry
    in_um = transform(tiles, to_coordinate_system="global").geometry
    picture = transform(store["slide"], to_coordinate_system="global")
    red = np.argwhere(np.asarray(store["slide"].values)[0] > 0)
    extent = get_extent(store["slide"], coordinate_system="global")
    return {
        "centers_mm": np.column_stack([on_glass.centroid.x, on_glass.centroid.y]).tolist(),
        "places_mm": joined.obs[["x_mm", "y_mm"]].to_numpy().tolist(),
        "first_um": in_um.iloc[0].bounds,
        "picture_um": [extent["x"], extent["y"]],
        "picture_channels": [str(name) for name in picture.coords["c"].values],
        "red_px": [red.min(axis=0).tolist(), red.max(axis=0).tolist()],
        "values": np.asarray(joined.X).tolist(),
        "about": {name: str(joined.uns["vst_dicom"][name]) for name in ("unit", "intended_use")},
    }


if __name__ == "__main__":
    task, given = sys.argv[1:]
    print(json.dumps({"table": read_table, "store": read_store}[task](Path(given))))  # noqa: T201
