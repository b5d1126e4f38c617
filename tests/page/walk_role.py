"""A process of the server as it is, but for the model: a planted one, slow enough to be watched."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.gateway.role import play
from tests.page.planted_site import PlantedPredictor
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.predictor import Prediction

_PREDICT_S: Final = 5.0
"""Progress is written once a second."""


class SlowPredictor(PlantedPredictor):
    """Takes some seconds for any slide."""

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Callable[[int, int], None]) -> Prediction:
        n_done = 0

        def slowed() -> Iterator[TileBatch]:
            for batch in batches:
                time.sleep(_PREDICT_S * len(batch.indices) / len(grid))
                yield batch

        def count(n_more: int, n_tiles: int) -> None:
            nonlocal n_done
            n_done += n_more
            progress(n_done, n_tiles)

        return super().predict(slowed(), grid, count)


if __name__ == "__main__":
    play(sys.argv[1], Path(sys.argv[2]), SlowPredictor)
