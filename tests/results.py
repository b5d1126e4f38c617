"""Small results made by hand, for tests of maps and encodings."""

from datetime import UTC, datetime

import numpy as np

from vst_dicom.domain.expression import ExpressionTable, Gene, GeneStatus, PanelGene
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.domain.result import BundleIdentity
from vst_dicom.domain.tiles import TileGrid, TileQuality

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BUNDLE = BundleIdentity("test-bundle", "1.0.0", "ab" * 32, "a bundle for tests")


def make_gene(symbol: str, status: GeneStatus = GeneStatus.EXPLORATORY, r: float = 0.5) -> PanelGene:
    return PanelGene(
        Gene(symbol, "HGNC:3430" if symbol == "ERBB2" else None), status, "because", r, (0.4, 0.6), "section", 4, 0.3
    )


TILE = MatrixSize(100, 100)


def full_grid(n_rows: int, n_columns: int, tile: MatrixSize = TILE) -> TileGrid:
    cells = np.stack(np.meshgrid(np.arange(n_rows), np.arange(n_columns), indexing="ij"), axis=-1).reshape(-1, 2)
    return TileGrid(tile, MatrixSize(n_rows, n_columns), cells.astype(np.int32))


def good_quality(n_tiles: int) -> TileQuality:
    return TileQuality(
        np.ones(n_tiles, np.float32),
        np.full(n_tiles, 100, np.float32),
        np.zeros(n_tiles, np.bool_),
        np.zeros(n_tiles, np.bool_),
    )


def table_of(grid_values: np.ndarray, *symbols: str) -> ExpressionTable:
    """Values of shape (n_genes, n_rows, n_columns) of a full grid as a table."""
    return ExpressionTable(
        tuple(make_gene(symbol) for symbol in symbols),
        grid_values.transpose(1, 2, 0)
        .reshape(grid_values.shape[1] * grid_values.shape[2], len(symbols))
        .astype(np.float32),
    )
