"""Values of a result's tiles, from the AnnData file that people download too."""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from vst_dicom.domain.errors import MissingInputError
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.pixels import RgbImage
from vst_dicom.domain.tissue import TISSUE_CLASSES

if TYPE_CHECKING:
    import h5py

GENE: Final = "gene"
HALF_WIDTH: Final = "half-width"
SIGNATURE: Final = "signature"
DISTANCE: Final = "distance"
TISSUE_CLASS: Final = "tissue-class"
CELLS: Final = "cells"
MASKED: Final = "masked-cells"

Layer = NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.uint8]

_MATRICES: Final = {GENE: "X", HALF_WIDTH: "layers/interval_half_width"}
_COLUMNS_AT_ONCE: Final = 16
"""Read together, where the file does not say by how many they are stored."""

_REMEMBERED_BYTES: Final = 16 << 20


class TileValues:
    """Layers of a result by name, read when they are asked for.

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
            picture = _find_picture(table)
            self.picture_size = None if picture is None else MatrixSize(*picture.shape[:2])
            self.n_tiles, n_genes = table["X"].shape
            genes = table["var"]
            symbols = genes[genes.attrs["_index"]].asstr()[()]
            kinds = [kind for kind, matrix in _MATRICES.items() if matrix in table]
            self._column = {f"{kind}:{symbol}": (kind, at) for kind in kinds for at, symbol in enumerate(symbols)}
            self._single = {CELLS: "", MASKED: "", **_single_layers(table["obs"])}
            self._n_together = {kind: (table[_MATRICES[kind]].chunks or (0, _COLUMNS_AT_ONCE))[1] for kind in kinds}
        self._n_genes = n_genes
        self._block = cached(LRUCache[object, NDArray[np.float32]](_REMEMBERED_BYTES, _n_bytes), lock=Lock())(
            self._read_block
        )

    def __contains__(self, name: str) -> bool:
        return name in self._column or name in self._single

    def __getitem__(self, name: str) -> Layer:
        """Read a layer.

        Raises
        ------
        MissingInputError
            If the result has none of this name, or its file is gone.
        """
        if name in self._column:
            kind, at = self._column[name]
            first = at - at % self._n_together[kind]
            values: NDArray[np.float32] = self._block(kind, first)[at - first]
            return values
        if name not in self._single:
            raise MissingInputError("the result has no such layer; hidden genes have none, see its view for the reason")
        with self._open() as table:
            obs = table["obs"]
            if name == CELLS:
                return np.stack([obs["row"][()], obs["column"][()]], axis=1).astype(np.uint16)
            if name == MASKED:
                return np.asarray(table["uns/vst_dicom/masked_cells"][()]).reshape(-1, 2).astype(np.uint16)
            if name == TISSUE_CLASS:
                classes = [TISSUE_CLASSES.index(name) for name in obs["tissue_class/categories"].asstr()[()]]
                codes: NDArray[np.uint8] = np.array(classes, dtype=np.uint8)[obs["tissue_class/codes"][()]]
                return codes
            return np.asarray(obs[self._single[name]][()], dtype=np.float32)

    def read_picture(self) -> RgbImage:
        """Read the small picture of the whole slide.

        Raises
        ------
        MissingInputError
            If there is none.
        """
        with self._open() as table:
            picture = _find_picture(table)
            if picture is None:
                raise MissingInputError("the result holds no picture of the slide")
            return np.asarray(picture[()], dtype=np.uint8)

    def _open(self) -> "h5py.File":
        import h5py

        try:
            return h5py.File(self._path)
        except OSError as error:
            raise MissingInputError("a file is no longer on disk; ask again") from error

    def _read_block(self, kind: str, first: int) -> NDArray[np.float32]:
        """Genes that the file holds together, since one cannot be read without the others; one gene per row."""
        stop = min(first + self._n_together[kind], self._n_genes)
        with self._open() as table:
            return np.ascontiguousarray(table[_MATRICES[kind]][:, first:stop].T, dtype=np.float32)


def _single_layers(obs: Any) -> dict[str, str]:
    """Layers that have a column of their own in ``obs``, by name."""
    prefix = "signature_"
    found = {f"{SIGNATURE}:{name.removeprefix(prefix)}": name for name in obs if name.startswith(prefix)}
    found |= {
        name: column for name, column in ((DISTANCE, "distance"), (TISSUE_CLASS, "tissue_class")) if column in obs
    }
    return found


def _n_bytes(block: NDArray[np.float32]) -> int:
    return block.nbytes


def _find_picture(table: Any) -> Any:
    """Find the small picture of the whole slide, shape ``(n_rows, n_columns, 3)``; None without one."""
    for spatial in table.get("uns/spatial", {}).values():
        return spatial["images/hires"]
    return None
