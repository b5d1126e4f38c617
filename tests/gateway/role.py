"""A process of the server as it is, but for the model: the mean color of each tile stands in for it."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.pipeline.brightness import BrightnessPredictor
from tests.results import BUNDLE
from vst_dicom.config import read_settings
from vst_dicom.dicom.uids import derive_device_uid
from vst_dicom.runtime.logs import configure_logs
from vst_dicom.runtime.roles import Role, find_role, run_role


def play(name: str, config: Path, make_predictor: Callable[[], Any] = BrightnessPredictor) -> None:
    configure_logs(name)
    role: Role = find_role(name)
    if name == "worker-gpu":
        role = partial(role, load_predictor=lambda _bundle: make_predictor())
    elif name == "worker-cpu":
        from vst_dicom.runtime.coordinator import Coordinator

        device_uids = frozenset({derive_device_uid(BUNDLE.sha256)})
        make = partial(Coordinator, bundle_sha256=lambda _name: BUNDLE.sha256, own_device_uids=lambda: device_uids)
        role = partial(role, make_coordinator=make)
    run_role(name, read_settings(config), role=role)


if __name__ == "__main__":
    play(sys.argv[1], Path(sys.argv[2]))
