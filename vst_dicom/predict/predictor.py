"""A bundle ready to work: tiles of a slide in, predicted expression out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.bundle import Bundle
from vst_dicom.predict.encoders import build_encoder
from vst_dicom.predict.engine import Device, Precision, Progress, TorchEngine
from vst_dicom.predict.head import with_context
from vst_dicom.predict.reference import check_reference, reference_tile

_TILES_AT_ONCE: Final = 4096
"""Tiles whose context lies in memory together."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a bundle says about the tiles of a grid.

    Parameters
    ----------
    expression
        All genes of the panel, hidden ones too; the caller takes `ExpressionTable.shown` before anything leaves.
    members
        What each member of the head predicts, shape ``(n_members, n_tiles, n_genes)``, columns as in `expression`; no
        members where the head has fewer than two.
    tissue_class
        Index into `vst_dicom.domain.tissue.TISSUE_CLASSES`, shape ``(n_tiles,)``; None where the bundle has no
        classifier.
    """

    expression: ExpressionTable
    members: NDArray[np.float32]
    tissue_class: NDArray[np.int8] | None


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
            build_encoder(spec.name, bundle.encoder_tensors),
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

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Progress | None = None) -> Prediction:
        """Predict relative expression and tissue class for every tile of the grid.

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
        Prediction
            For all tiles of the grid.

        Raises
        ------
        ResourceError
            If memory does not suffice.
        ValueError
            If the batches do not hold each tile exactly once.
        """
        embeddings = self.engine.embed(batches, len(grid), progress)
        values, members = self.express(embeddings, grid)
        tissue = self.bundle.tissue
        tissue_class = None if tissue is None else tissue.apply(embeddings)
        return Prediction(ExpressionTable(self.bundle.genes, values), members, tissue_class)

    def express(
        self, embeddings: NDArray[np.float32], grid: TileGrid
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Expression of features that are already computed, and that of each member, as in `Prediction`."""
        head, context = self.bundle.head, self.bundle.manifest.encoder.context
        n_members = head.n_members if head.n_members > 1 else 0
        expression = np.empty((len(grid), len(self.bundle.genes)), dtype=np.float32)
        members = np.empty((n_members, *expression.shape), dtype=np.float32)
        for start in range(0, len(grid), _TILES_AT_ONCE):
            tiles = slice(start, start + _TILES_AT_ONCE)
            features = with_context(embeddings, grid.cells, tiles, context)
            expression[tiles] = head.apply(features)
            for number, prediction in enumerate(head.predictions(features) if n_members else ()):
                members[number, tiles] = prediction
        return expression, members
