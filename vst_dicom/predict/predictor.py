"""A bundle ready to work: tiles of a slide in, predicted expression out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vst_dicom.domain.expression import ExpressionTable
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.ahead import ahead
from vst_dicom.predict.appearance import N_APPEARANCE, describe_appearance
from vst_dicom.predict.bundle import Bundle
from vst_dicom.predict.context import Surroundings
from vst_dicom.predict.engine import Device, Engine, EngineChoice, PrecisionChoice, Progress, each_once
from vst_dicom.predict.engine_choice import EngineRequest, open_engine
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.manifest import ENCODER_FILE
from vst_dicom.predict.members import MemberPredictions, deviation
from vst_dicom.predict.reference import check_reference

if TYPE_CHECKING:
    from torch import nn

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
        What each member of the head predicts, columns as in `expression`. None where the head has fewer than two.
    """

    expression: ExpressionTable
    distance: NDArray[np.float32] | None = None
    half_width: NDArray[np.float32] | None = None
    tissue_class: NDArray[np.int8] | None = None
    members: MemberPredictions | None = None

    def of_tiles(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Prediction":
        """Take some tiles: a mask, or indices in the order that is wanted."""
        return Prediction(
            ExpressionTable(self.expression.genes, self.expression.values[rows]),
            None if self.distance is None else self.distance[rows],
            None if self.half_width is None else self.half_width[rows],
            None if self.tissue_class is None else self.tissue_class[rows],
            None if self.members is None else self.members.of_tiles(rows),
        )


class Predictor:
    """A bundle on a device.

    Parameters
    ----------
    bundle
        Loaded and checked.
    engine, device, precision, batch_size, threads, cache
        See `vst_dicom.predict.engine_choice.EngineRequest`.

    Raises
    ------
    BundleError
        If the encoder's weights do not fit, or the reference tile shows that it computes something else.
    ResourceError
        If memory does not hold the network.
    UsageError
        If engine, device or precision cannot be had.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        engine: EngineChoice = "auto",
        device: Device = "auto",
        precision: PrecisionChoice = "auto",
        batch_size: int = 32,
        threads: int | None = None,
        cache: Path | None = None,
    ) -> None:
        self.bundle = bundle
        self.engine: Engine = open_engine(
            frozen_encoder(bundle),
            EngineRequest(engine, device, precision, batch_size, threads, cache),
            lambda features: check_reference(
                features, bundle.reference_embedding, bundle.manifest.reference_embedding.cos_min
            ),
        )

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Progress | None = None) -> Prediction:
        """Predict relative expression and tissue class for every tile, and how far to trust it.

        Batches are made in another thread while the network works on the last ones. What is kept of a tile is small:
        its part in the scores around it, see `vst_dicom.predict.members.Head.project`.

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
        head, trust, tissue = self.bundle.head, self.bundle.trust, self.bundle.tissue
        context = self.bundle.manifest.encoder.context
        passing = PassingAppearance(len(grid) if trust.familiarity is not None else 0)
        projected = np.empty((len(grid), len(context), head.n_components), dtype=np.float32)
        distance = np.empty(len(grid), dtype=np.float32)
        tissue_class = np.empty(len(grid), dtype=np.int8)
        n_done = 0
        # More threads for so small products only wait, at full load, for the next, while the network could have them.
        with threadpool_limits(1, user_api="blas"):
            for indices, embeddings in self.engine.stream(ahead(passing.watch(each_once(batches, len(grid))))):
                projected[indices] = head.project(embeddings)
                if trust.familiarity is not None:
                    distance[indices] = trust.familiarity.distance(passing.appearance[indices], embeddings)
                if tissue is not None:
                    tissue_class[indices] = tissue.apply(embeddings)
                n_done += len(indices)
                if progress is not None:
                    progress(n_done, len(grid))

        scores = np.empty((len(grid), head.n_components), dtype=np.float32)
        values = np.empty((len(grid), head.n_genes), dtype=np.float32)
        half_width = None if trust.intervals is None else np.empty_like(values)
        around = Surroundings(grid.cells, context)
        for start in range(0, len(grid), _TILES_AT_ONCE):
            tiles = slice(start, start + _TILES_AT_ONCE)
            scores[tiles] = around.means(projected, tiles).sum(axis=1)
            values[tiles] = head.express(scores[tiles])
            if half_width is not None and trust.intervals is not None:
                spread = deviation(head.express_members(scores[tiles]), values[tiles].shape)
                half_width[tiles] = trust.intervals.half_width(spread)
        return Prediction(
            ExpressionTable(self.bundle.genes, values),
            distance=None if trust.familiarity is None else distance,
            half_width=half_width,
            tissue_class=None if tissue is None else tissue_class,
            members=MemberPredictions(head, scores, np.arange(head.n_genes)) if head.n_members > 1 else None,
        )


def frozen_encoder(bundle: Bundle) -> FrozenEncoder:
    """Name the encoder of a bundle without loading it."""

    def load() -> "nn.Module":
        from vst_dicom.predict.encoders import build_encoder
        from vst_dicom.predict.weights_file import read_tensors

        return build_encoder(bundle.manifest.encoder, read_tensors(bundle.encoder_file, ENCODER_FILE))

    return FrozenEncoder(bundle.manifest.encoder, bundle.manifest.files[ENCODER_FILE], load)


class PassingAppearance:
    """Describes tiles on their way to the network, so that no tile is read twice.

    Parameters
    ----------
    n_tiles
        How many tiles will pass; 0 describes none.
    """

    def __init__(self, n_tiles: int) -> None:
        self.appearance = np.empty((n_tiles, N_APPEARANCE), dtype=np.float32)

    def watch(self, batches: Iterable[TileBatch]) -> Iterator[TileBatch]:
        """Pass batches on unchanged and remember what was seen."""
        for batch in batches:
            if len(self.appearance):
                self.appearance[batch.indices] = describe_appearance(batch.images)
            yield batch
