"""A bundle ready to work: tiles of a slide in, predicted expression out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.appearance import N_APPEARANCE, describe_appearance
from vst_dicom.predict.bundle import Bundle
from vst_dicom.predict.encoders import build_encoder
from vst_dicom.predict.engine import Device, Precision, Progress, TorchEngine
from vst_dicom.predict.head import with_context
from vst_dicom.predict.manifest import ENCODER_FILE
from vst_dicom.predict.reference import check_reference, reference_tile
from vst_dicom.predict.weights_file import read_tensors

_TILES_AT_ONCE: Final = 4096
"""Tiles whose context lies in memory together."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a bundle says about the tiles of a grid.

    Parameters
    ----------
    expression
        All genes of the panel, hidden ones too; the caller takes `ExpressionTable.shown` before anything leaves.
    distance
        How unlike the training tiles each tile is, shape ``(n_tiles,)``; above 1 it is unfamiliar. None where the
        bundle cannot tell.
    half_width
        Of the prediction intervals, shape ``(n_tiles, n_genes)``, columns as in `expression`. None where the bundle
        makes none.
    """

    expression: ExpressionTable
    distance: NDArray[np.float32] | None = None
    half_width: NDArray[np.float32] | None = None


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

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Progress | None = None) -> Prediction:
        """Predict relative expression for every tile of the grid, and how far to trust it.

        Parameters
        ----------
        batches
            The tiles' pixels in any order; indices are rows of ``grid.cells``.
        grid
            Where the tiles lie; neighbors on it are a tile's context.
        progress
            Called with tiles done and tiles in all.

        Raises
        ------
        ResourceError
            If memory does not suffice.
        ValueError
            If the batches do not hold each tile exactly once.
        """
        familiarity = self.bundle.trust.familiarity
        appearance = np.empty((len(grid), N_APPEARANCE), dtype=np.float32)
        seen = batches if familiarity is None else _describe_passing(batches, appearance)
        embeddings = self.engine.embed(seen, len(grid), progress)
        values, half_width = self.express(embeddings, grid)
        distance = None if familiarity is None else familiarity.distance(appearance, embeddings)
        return Prediction(ExpressionTable(self.bundle.genes, values), distance, half_width)

    def express(
        self, embeddings: NDArray[np.float32], grid: TileGrid
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Expression of features that are already computed, and half widths of the intervals, as in `Prediction`."""
        head, intervals = self.bundle.head, self.bundle.trust.intervals
        expression = np.empty((len(grid), len(self.bundle.genes)), dtype=np.float32)
        half_width = None if intervals is None else np.empty_like(expression)
        context = self.bundle.manifest.encoder.context
        for start in range(0, len(grid), _TILES_AT_ONCE):
            tiles = slice(start, start + _TILES_AT_ONCE)
            features = with_context(embeddings, grid.cells, tiles, context)
            expression[tiles] = head.apply(features)
            if intervals is not None and half_width is not None:
                half_width[tiles] = intervals.half_width(head.spread(features))
        return expression, half_width


def _describe_passing(batches: Iterable[TileBatch], appearance: NDArray[np.float32]) -> Iterator[TileBatch]:
    """Pass batches on and fill in the appearance of their tiles, so that no tile is read twice."""
    for batch in batches:
        within = batch.indices < len(appearance)
        appearance[batch.indices[within]] = describe_appearance(batch.images[within])
        yield batch
