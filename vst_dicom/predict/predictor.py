"""A bundle ready to work: tiles of a slide in, predicted expression out."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.bundle import Bundle
from vst_dicom.predict.encoders import build_encoder
from vst_dicom.predict.engine import Device, Precision, Progress, TorchEngine
from vst_dicom.predict.head import with_context
from vst_dicom.predict.manifest import ENCODER_FILE
from vst_dicom.predict.reference import check_reference, reference_tile
from vst_dicom.predict.weights_file import read_tensors

_TILES_AT_ONCE: Final = 4096
"""Tiles whose context lies in memory together."""


class Predictor:
    """A bundle on a device.

    Parameters
    ----------
    bundle
        Loaded and checked.
    device, precision, batch_size, threads
        See `vst_dicom.predict.engine.TorchEngine`.

    Raises
    ------
    BundleError
        If the encoder's weights do not fit, or the reference tile shows that it computes something else.
    UsageError
        If the device or precision cannot be had.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: Device = "auto",
        precision: Precision = "fp32",
        batch_size: int = 32,
        threads: int | None = None,
    ) -> None:
        spec = bundle.manifest.encoder
        self.bundle = bundle
        self.engine = TorchEngine(
            build_encoder(spec, read_tensors(bundle.encoder_file, ENCODER_FILE)),
            spec.mean,
            spec.std,
            spec.embed_dim,
            device=device,
            precision=precision,
            batch_size=batch_size,
            threads=threads,
        )
        tile = TileBatch(np.zeros(1, dtype=np.int64), reference_tile(spec.tile_px)[np.newaxis])
        check_reference(
            self.engine.embed([tile], 1)[0], bundle.reference_embedding, bundle.manifest.reference_embedding.cos_min
        )

    def predict(
        self, batches: Iterable[TileBatch], grid: TileGrid, progress: Progress | None = None
    ) -> ExpressionTable:
        """Predict relative expression for every tile of the grid.

        Parameters
        ----------
        batches
            The tiles' pixels in any order; indices are rows of ``grid.cells``.
        grid
            Where the tiles lie; neighbors on it are a tile's context.
        progress
            Called with tiles done and tiles in all.

        Returns
        -------
        ExpressionTable
            All genes of the panel, hidden ones too; the caller takes `ExpressionTable.shown` before anything leaves.

        Raises
        ------
        ResourceError
            If memory does not suffice.
        ValueError
            If the batches do not hold each tile exactly once.
        """
        embeddings = self.engine.embed(batches, len(grid), progress)
        return ExpressionTable(self.bundle.genes, self.express(embeddings, grid))

    def express(self, embeddings: NDArray[np.float32], grid: TileGrid) -> NDArray[np.float32]:
        """Expression, shape ``(n_tiles, n_genes)``, of features that are already computed."""
        expression = np.empty((len(grid), len(self.bundle.genes)), dtype=np.float32)
        context = self.bundle.manifest.encoder.context
        for start in range(0, len(grid), _TILES_AT_ONCE):
            tiles = slice(start, start + _TILES_AT_ONCE)
            expression[tiles] = self.bundle.head.apply(with_context(embeddings, grid.cells, tiles, context))
        return expression
