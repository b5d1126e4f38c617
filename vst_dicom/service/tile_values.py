"""Values of a result's tiles, from the AnnData file that people download too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import MissingInputError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.tissue import TISSUE_CLASSES

GENE: Final = "gene"
HALF_WIDTH: Final = "half-width"
SIGNATURE: Final = "signature"
DISTANCE: Final = "distance"
TISSUE_CLASS: Final = "tissue-class"
CELLS: Final = "cells"
MASKED: Final = "masked-cells"

Layer = NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.uint8]


class TileValues:
    """Layers of a result by name.

    ``gene:ERBB2``, ``half-width:ERBB2``, ``signature:proliferation`` and ``distance`` are float32, one per tile;
    ``tissue-class`` is uint8, an index into the classes; ``cells`` and ``masked-cells`` are uint16, row and column on
    the grid for each tile, and for each place of tissue without a prediction.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        import anndata  # loads pandas

        table = anndata.read_h5ad(path)
        about = table.uns["vst_dicom"]
        n_rows, n_columns = about["tile_size_px"]
        self.tile_size = MatrixSize(int(n_rows), int(n_columns))
        cells = np.stack([table.obs["row"].to_numpy(), table.obs["column"].to_numpy()], axis=1)
        self.n_tiles = len(cells)
        self.picture = _picture(table)
        self._layers: dict[str, Layer] = {
            CELLS: cells.astype(np.uint16),
            MASKED: np.asarray(about["masked_cells"]).reshape(-1, 2).astype(np.uint16),
        }
        for name, column in _columns(table):
            self._layers[name] = column

    def __contains__(self, name: str) -> bool:
        return name in self._layers

    def __getitem__(self, name: str) -> Layer:
        """Get a layer.

        Raises
        ------
        MissingInputError
            If the result has none of this name.
        """
        if name not in self._layers:
            raise MissingInputError("the result has no such layer; hidden genes have none, see its view for the reason")
        return self._layers[name]

    def range(self, name: str) -> tuple[float, float]:
        """Least and largest value of a layer."""
        return float(self[name].min()), float(self[name].max())


def _columns(table: Any) -> Iterator[tuple[str, Layer]]:
    """All layers that have one value per tile, each in memory of its own."""
    values = np.asarray(table.X, dtype=np.float32).T.copy()
    for symbol, column in zip(table.var_names, values, strict=True):
        yield f"{GENE}:{symbol}", column
    if "interval_half_width" in table.layers:
        half_widths = np.asarray(table.layers["interval_half_width"], dtype=np.float32).T.copy()
        for symbol, column in zip(table.var_names, half_widths, strict=True):
            yield f"{HALF_WIDTH}:{symbol}", column
    prefix = "signature_"
    for name in table.obs.columns:
        if name.startswith(prefix):
            yield f"{SIGNATURE}:{name.removeprefix(prefix)}", table.obs[name].to_numpy(dtype=np.float32)
    if "distance" in table.obs:
        yield DISTANCE, table.obs["distance"].to_numpy(dtype=np.float32)
    if "tissue_class" in table.obs:
        names = table.obs["tissue_class"].astype(str)
        yield TISSUE_CLASS, names.map(TISSUE_CLASSES.index).to_numpy(dtype=np.uint8)


def _picture(table: Any) -> NDArray[np.uint8] | None:
    """Small picture of the whole slide, shape ``(n_rows, n_columns, 3)``."""
    for spatial in table.uns.get("spatial", {}).values():
        return np.asarray(spatial["images"]["hires"], dtype=np.uint8)
    return None
