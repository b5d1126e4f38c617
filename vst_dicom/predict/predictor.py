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
from vst_dicom.predict.engine import Device, Precision, Progress, TorchEngine, embed
from vst_dicom.predict.head import with_context
from vst_dicom.predict.manifest import ENCODER_FILE
from vst_dicom.predict.members import deviation
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
    tissue_class
        Index into `vst_dicom.domain.tissue.TISSUE_CLASSES`, shape ``(n_tiles,)``. None where the bundle has no
        classifier.
    members
        What each member of the head predicts, shape ``(n_members, n_tiles, n_genes)``, columns as in `expression`.
        None where the head has fewer than two.
    """

    expression: ExpressionTable
    distance: NDArray[np.float32] | None = None
    half_width: NDArray[np.float32] | None = None
    tissue_class: NDArray[np.int8] | None = None
    members: NDArray[np.float32] | None = None


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
            embed(self.engine, [tile], 1)[0], bundle.reference_embedding, bundle.manifest.reference_embedding.cos_min
        )

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Progress | None = None) -> Prediction:
        """Predict relative expression and tissue class for every tile of the grid, and how far to trust it.

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
        trust, tissue = self.bundle.trust, self.bundle.tissue
        appearance = np.empty((len(grid), N_APPEARANCE), dtype=np.float32)
        seen = batches if trust.familiarity is None else _describe_passing(batches, appearance)
        embeddings = embed(self.engine, seen, len(grid), progress)
        values, members = self.express(embeddings, grid)
        return Prediction(
            ExpressionTable(self.bundle.genes, values),
            distance=None if trust.familiarity is None else trust.familiarity.distance(appearance, embeddings),
            half_width=None
            if trust.intervals is None
            else trust.intervals.half_width(deviation(members, values.shape)),
            tissue_class=None if tissue is None else tissue.apply(embeddings),
            members=members if len(members) else None,
        )

    def express(
        self, embeddings: NDArray[np.float32], grid: TileGrid
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Expression of features that are already computed, and that of each of two or more members."""
        head, context = self.bundle.head, self.bundle.manifest.encoder.context
        expression = np.empty((len(grid), len(self.bundle.genes)), dtype=np.float32)
        members = np.empty((head.n_members if head.n_members > 1 else 0, *expression.shape), dtype=np.float32)
        for start in range(0, len(grid), _TILES_AT_ONCE):
            tiles = slice(start, start + _TILES_AT_ONCE)
            features = with_context(embeddings, grid.cells, tiles, context)
            expression[tiles] = head.apply(features)
            for number, prediction in enumerate(head.predictions(features) if len(members) else ()):
                members[number, tiles] = prediction
        return expression, members


def _describe_passing(batches: Iterable[TileBatch], appearance: NDArray[np.float32]) -> Iterator[TileBatch]:
    """Pass batches on and fill in the appearance of their tiles, so that no tile is read twice."""
    for batch in batches:
        within = batch.indices < len(appearance)
        appearance[batch.indices[within]] = describe_appearance(batch.images[within])
        yield batch
