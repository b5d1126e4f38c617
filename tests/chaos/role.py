"""A process of the server as it is, but for the model: the mean color of each tile stands in for it."""

import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from tests.pipeline.brightness import BrightnessPredictor
from vst_dicom.config import read_settings
from vst_dicom.domain.tiles import TileBatch, TileGrid
from vst_dicom.predict.predictor import Prediction
from vst_dicom.runtime.logs import configure_logs
from vst_dicom.runtime.roles import Role, find_role, run_role


class SlowPredictor(BrightnessPredictor):
    """Takes a second longer, so that kills hit slides in the middle."""

    def predict(self, batches: Iterable[TileBatch], grid: TileGrid, progress: Callable[[int, int], None]) -> Prediction:
        for step in range(10):
            progress(step, 10)
            time.sleep(0.1)
        return super().predict(batches, grid, progress)


def play(name: str, config: Path) -> None:
    configure_logs(name)
    role: Role = find_role(name)
    if name == "worker-gpu":
        role = partial(role, load_predictor=lambda _bundle: SlowPredictor())
    elif name == "worker-cpu":
        from vst_dicom.runtime.coordinator import Coordinator

        make = partial(Coordinator, bundle_sha256=lambda _name: "b" * 64, own_device_uids=frozenset)
        role = partial(role, make_coordinator=make)
    run_role(name, read_settings(config), role=role)


if __name__ == "__main__":
    play(sys.argv[1], Path(sys.argv[2]))
