"""A process of the server as it is, but for the model: a planted one, slow enough to be watched."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from tests.page.planted_site import PlantedPredictor
from tests.results import BUNDLE
from vst_dicom.config import read_settings
from vst_dicom.dicom.uids import derive_device_uid
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.predictor import Prediction
from vst_dicom.runtime.logs import configure_logs
from vst_dicom.runtime.roles import Role, find_role, run_role

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


def play(name: str, config: Path) -> None:
    configure_logs(name)
    role: Role = find_role(name)
    if name == "worker-gpu":
        role = partial(role, load_predictor=lambda _bundle: SlowPredictor())
    elif name == "worker-cpu":
        from vst_dicom.runtime.coordinator import Coordinator

        device_uids = frozenset({derive_device_uid(BUNDLE.sha256)})
        make = partial(Coordinator, bundle_sha256=lambda _name: BUNDLE.sha256, own_device_uids=lambda: device_uids)
        role = partial(role, make_coordinator=make)
    run_role(name, read_settings(config), role=role)


if __name__ == "__main__":
    play(sys.argv[1], Path(sys.argv[2]))
