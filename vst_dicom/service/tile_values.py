"""Values of a result's tiles, from the AnnData file that people download too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import MissingInputError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import RgbImage
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
        self._path = path
        import h5py

        with h5py.File(path) as table:
            n_rows, n_columns = table["uns/vst_dicom/tile_size_px"][()]
            self.tile_size = MatrixSize(int(n_rows), int(n_columns))
            obs = table["obs"]
            self._layers: dict[str, Layer] = {
                CELLS: np.stack([obs["row"][()], obs["column"][()]], axis=1).astype(np.uint16),
                MASKED: np.asarray(table["uns/vst_dicom/masked_cells"][()]).reshape(-1, 2).astype(np.uint16),
            }
            picture = _find_picture(table)
            self.picture_size = None if picture is None else MatrixSize(*picture.shape[:2])
            self._layers.update(_columns(table))
        self.n_tiles = len(self._layers[CELLS])

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

    def read_picture(self) -> RgbImage:
        """Read the small picture of the whole slide.

        Raises
        ------
        MissingInputError
            If there is none.
        """
        import h5py

        with h5py.File(self._path) as table:
            picture = _find_picture(table)
            if picture is None:
                raise MissingInputError("the result holds no picture of the slide")
            return np.asarray(picture[()], dtype=np.uint8)

    def range(self, name: str) -> tuple[float, float]:
        """Least and largest value of a layer."""
        return float(self[name].min()), float(self[name].max())


def _columns(table: Any) -> Iterator[tuple[str, Layer]]:
    """All layers that have one value per tile, each in memory of its own."""
    obs, genes = table["obs"], table["var"]
    symbols = genes[genes.attrs["_index"]].asstr()[()]
    matrices = ((GENE, table["X"]), (HALF_WIDTH, table.get("layers/interval_half_width")))
    for kind, matrix in matrices:
        if matrix is not None:
            by_gene = np.ascontiguousarray(matrix[()].astype(np.float32).T)
            yield from ((f"{kind}:{symbol}", column) for symbol, column in zip(symbols, by_gene, strict=True))
    prefix = "signature_"
    for name in obs:
        if name.startswith(prefix):
            yield f"{SIGNATURE}:{name.removeprefix(prefix)}", obs[name][()].astype(np.float32)
    if "distance" in obs:
        yield DISTANCE, obs["distance"][()].astype(np.float32)
    if "tissue_class" in obs:
        classes = [TISSUE_CLASSES.index(name) for name in obs["tissue_class/categories"].asstr()[()]]
        yield TISSUE_CLASS, np.array(classes, dtype=np.uint8)[obs["tissue_class/codes"][()]]


def _find_picture(table: Any) -> Any:
    """Find the small picture of the whole slide, shape ``(n_rows, n_columns, 3)``; None without one."""
    for spatial in table.get("uns/spatial", {}).values():
        return spatial["images/hires"]
    return None
