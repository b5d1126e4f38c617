"""What was found faster on this machine, kept so that the next start neither measures nor loads the other library."""

import hashlib
import json
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog
from pydantic import TypeAdapter, ValidationError

from vst_dicom.domain.engine import EngineName
from vst_dicom.domain.errors import ResourceError
from vst_dicom.files import whole_file
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.openvino_library import cpu_model, openvino_version

_log = structlog.get_logger(__name__)

_OUR_VERSION: Final = 1
"""Counts changes of how engines compute."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A choice between engines.

    Parameters
    ----------
    engine
        The one to take.
    probe_ms
        Milliseconds per tile, by candidate; empty where nothing was measured.
    """

    engine: EngineName
    probe_ms: dict[str, float] = field(default_factory=dict)


_REMEMBERED: Final = TypeAdapter(Remembered)


class EngineMemory:
    """The choice for one encoder, number of threads, processor and versions of both libraries.

    Parameters
    ----------
    folder
        The cache; one that cannot be written to keeps nothing.
    encoder, threads
        What the choice is for.
    """

    def __init__(self, folder: Path, encoder: FrozenEncoder, threads: int | None) -> None:
        machine = [platform.machine(), cpu_model(), version("torch"), openvino_version(), _OUR_VERSION]
        key = json.dumps([encoder.weights_sha256, encoder.spec.model_dump(mode="json"), threads, *machine])
        self._path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.choice.json"

    def read(self) -> Remembered | None:
        """Give the choice made before; None where there is none that can be read."""
        try:
            return _REMEMBERED.validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, choice: Remembered) -> None:
        """Keep a choice."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with whole_file(self._path) as temporary:
                temporary.write_bytes(_REMEMBERED.dump_json(choice))
        except (OSError, ResourceError) as error:
            _log.warning("the choice of engine cannot be kept; it is made again next time", problem=str(error))
