"""A stand-in for a model whose answer the test can compute: the mean of red, green and blue of each tile."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace

import numpy as np

from tests.results import BUNDLE, make_gene
from vst_dicom.domain.engine import EngineFacts
from vst_dicom.domain.expression import ExpressionTable, GeneStatus
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.predictor import Prediction


class BrightnessPredictor:
    """Looks like a predictor to the main path; genes R, G and B are shown, HIDDEN is not."""

    def __init__(self) -> None:
        encoder = SimpleNamespace(tile_px=224, spacing_um=0.5, spacing_um_range=(0.1, 1.0), context=(1,))
        self.genes = (*map(make_gene, "RGB"), make_gene("HIDDEN", GeneStatus.HIDDEN))
        self.bundle = SimpleNamespace(
            manifest=SimpleNamespace(encoder=encoder, distribution=None, uncertainty=None),
            genes=self.genes,
            identity=BUNDLE,
            signatures=(),
        )
        self.engine = SimpleNamespace(batch_size=8, name="torch", facts=EngineFacts("torch", "cpu", "fp32", 8))

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Callable[[int, int], None]) -> Prediction:
        values = np.zeros((len(grid), 4), dtype=np.float32)
        for batch in batches:
            values[batch.indices, :3] = batch.images.mean(axis=(1, 2))
            progress(len(batch.indices), len(grid))
        return Prediction(ExpressionTable(self.genes, values))
