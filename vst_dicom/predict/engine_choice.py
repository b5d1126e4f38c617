"""Which library computes, on what, in which arithmetic: what was asked for, what is there, and what is faster here."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from vst_dicom.domain.engine import EngineName, Precision
from vst_dicom.domain.errors import BundleError, UsageError
from vst_dicom.predict.engine import Device, EngineChoice, PrecisionChoice, Runner
from vst_dicom.predict.engine_memory import EngineMemory, Remembered
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.ladder import LadderEngine, Rung
from vst_dicom.predict.openvino_library import INSTALL, has_bf16, has_openvino
from vst_dicom.predict.reference import reference_tile

_log = structlog.get_logger(__name__)

Check = Callable[[NDArray[np.float32]], None]
"""Looks at the features of the reference tile, shape ``(embed_dim,)``; raises BundleError if they are wrong."""

_PREFERENCE: Final = 1.1
"""How many times as fast as openvino torch must be to be chosen, so that chance does not choose."""

_OPENVINO_TILES: Final = 8
"""Largest batch for openvino: with more, time per tile stays the same and memory grows, once for each batch in work."""

_PROBE_TILES: Final = 4
_PROBE_S: Final = 0.15
"""Time per candidate after its first batch; a network whose first batch takes longer is not measured again."""

_CUDA_NODES: Final = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-gpu", "/dev/kfd")
"""On Linux, one of these belongs to every driver that torch calls CUDA."""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What somebody wants to compute with.

    Parameters
    ----------
    engine
        Library; ``auto`` takes torch on CUDA, and on the CPU what is faster there.
    device
        ``auto`` takes CUDA where there is one.
    precision
        Arithmetic; ``auto`` takes half width on CUDA where the reference tile allows it, and fp32 on the CPU.
    batch_size
        Most tiles that go through the network at once.
    threads
        CPU threads; None takes every core.
    cache
        Folder that keeps exported graphs and choices; `cache_folder` if None.
    """

    engine: EngineChoice = "auto"
    device: Device = "auto"
    precision: PrecisionChoice = "auto"
    batch_size: int = 32
    threads: int | None = None
    cache: Path | None = None

    @property
    def cache_folder(self) -> Path:
        """Folder that keeps exported graphs and choices."""
        return self.cache or cache_folder()


def cache_folder() -> Path:
    """Folder of files that this product can make again, after the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vst_dicom"


def open_engine(encoder: FrozenEncoder, asked: EngineRequest, check: Check) -> LadderEngine:
    """Put an encoder on the device that was asked for, and see that it answers rightly.

    Parameters
    ----------
    encoder
        What computes.
    asked
        With what, on what.
    check
        Judges the features of the reference tile, on every rung.

    Raises
    ------
    BundleError
        If the weights do not fit, or the reference tile shows that something else is computed.
    ResourceError
        If memory does not hold the network.
    UsageError
        If engine, device or precision cannot be had.
    """
    opener = _Opener(encoder, asked, check)
    on_cuda = wants_cuda(asked.device, asked.engine)
    batch_size, probe_ms = asked.batch_size, dict[str, float]()
    if on_cuda:
        rungs = opener.cuda_rungs()
    else:
        chosen = opener.choose_on_cpu()
        probe_ms = chosen.probe_ms
        rungs = [opener.cpu_rung(chosen.engine)]
        if chosen.engine == "openvino":
            batch_size = min(batch_size, _OPENVINO_TILES)
    return LadderEngine(rungs, encoder.spec.embed_dim, batch_size, probe_ms)


def wants_cuda(device: Device, engine: EngineChoice = "auto") -> bool:
    """Whether to compute on CUDA.

    Raises
    ------
    UsageError
        If it is demanded and there is none, or the engine does not know it.
    """
    if device == "cpu" or (device == "auto" and (engine == "openvino" or not may_have_cuda())):
        return False
    if engine == "openvino":
        raise UsageError("engine openvino computes on the CPU; choose --engine torch or auto with --device cuda")
    import torch

    if torch.cuda.is_available():
        return True
    if device == "cuda":
        raise UsageError("no CUDA device can be used here; choose --device cpu or auto")
    return False


def check_half(precision: Precision, engine: EngineChoice) -> None:
    """Refuse arithmetic of half width that this CPU does not have.

    Raises
    ------
    UsageError
        If it does not, or the engine cannot use it.
    """
    if precision != "bf16":
        msg = f"precision {precision} needs a CUDA device; choose fp32"
        raise UsageError(msg)
    if engine == "torch" or not has_openvino() or not has_bf16():
        msg = (
            "precision bf16 needs a CUDA device or, with engine openvino, a CPU with avx512_bf16 or amx_bf16; choose "
            "fp32"
        )
        raise UsageError(msg)


def may_have_cuda() -> bool:
    """Whether asking torch for CUDA devices is worth the seconds that it takes to load."""
    return sys.platform != "linux" or any(Path(node).exists() for node in _CUDA_NODES)


class _Opener:
    """Opens runners of one encoder."""

    def __init__(self, encoder: FrozenEncoder, asked: EngineRequest, check: Check) -> None:
        self.encoder, self.asked = encoder, asked
        self.tile = reference_tile(encoder.spec.tile_px)[np.newaxis]
        self._check = check
        self._opened: dict[EngineName, Runner] = {}

    def cuda_rungs(self) -> list[Rung]:
        """Arithmetic that was asked for, then half width, then the CPU."""
        from vst_dicom.predict.cuda_runner import best_half

        wanted = self.asked.precision
        half = wanted if wanted in ("fp16", "bf16") else best_half()
        in_half = Rung(f"torch {half} on cuda", lambda: self._on_cuda(half))
        whole = Rung("torch fp32 on cuda", lambda: self._on_cuda("fp32"))
        on_cpu = Rung("torch fp32 on cpu", lambda: [self._on_cpu("torch")])
        if wanted == "fp32":
            return [whole, in_half, on_cpu]
        if wanted != "auto":
            return [in_half, on_cpu]
        try:
            opened = [self._on_cuda(half)]  # given away below, so that nothing here keeps their memory
        except BundleError as error:
            _log.warning("half precision refused, fp32 is used", precision=half, problem=str(error))
            return [whole, on_cpu]
        return [Rung(in_half.label, opened.pop), on_cpu]

    def cpu_rung(self, engine: EngineName) -> Rung:
        """Give the way to compute on the CPU with a library."""
        return Rung(f"{engine} {self._cpu_precision()} on cpu", lambda: [self._on_cpu(engine)])

    def choose_on_cpu(self) -> Remembered:
        """Take what was asked for, what alone is there, what was found faster before, or what is faster now.

        Raises
        ------
        UsageError
            If openvino is demanded and not installed, or the precision cannot be had.
        """
        asked = self.asked
        if asked.engine == "openvino" and not has_openvino():
            msg = f"engine openvino is not installed: {INSTALL}, or choose --engine torch"
            raise UsageError(msg)
        if self._cpu_precision() != "fp32":
            check_half(self._cpu_precision(), asked.engine)
            return Remembered("openvino")
        if asked.engine != "auto":
            return Remembered(asked.engine)
        if not has_openvino():
            return Remembered("torch")
        memory = EngineMemory(asked.cache_folder, self.encoder, asked.threads)
        chosen = memory.read()
        if chosen is None:
            chosen = self._probe_cpu()
            memory.write(chosen)
        return chosen

    def _probe_cpu(self) -> Remembered:
        """Measure both libraries on the reference tile."""
        try:
            openvino = self._on_cpu("openvino")
        except (UsageError, BundleError) as error:
            _log.warning("openvino cannot run this encoder, torch is used", problem=str(error))
            return Remembered("torch")
        tiles = np.repeat(self.tile, _PROBE_TILES, axis=0)
        found = {
            name: probe(runner, tiles) for name, runner in (("openvino", openvino), ("torch", self._on_cpu("torch")))
        }
        faster: EngineName = "openvino" if found["openvino"] < _PREFERENCE * found["torch"] else "torch"
        self._opened = {faster: self._opened[faster]}
        return Remembered(faster, {f"{name} fp32": round(ms, 2) for name, ms in found.items()})

    def _cpu_precision(self) -> Precision:
        return "fp32" if self.asked.precision == "auto" else self.asked.precision

    def _on_cpu(self, engine: EngineName) -> Runner:
        """Open a runner on the CPU, or the one that the probe opened."""
        if engine not in self._opened:
            runner = self._open_openvino() if engine == "openvino" else self._open_torch()
            try:
                features = runner.start(self.tile)()
            except RuntimeError as error:
                msg = f"{engine} cannot run encoder {self.encoder.spec.name!r}; choose another --engine"
                raise UsageError(msg) from error
            self._check(features[0])
            self._opened[engine] = runner
        return self._opened[engine]

    def _open_openvino(self) -> Runner:
        from vst_dicom.predict.exported_graph import graph_of
        from vst_dicom.predict.openvino_runner import OpenvinoRunner

        graph = graph_of(self.encoder, self.asked.cache_folder)
        return OpenvinoRunner(graph, self._cpu_precision(), self.asked.threads)

    def _open_torch(self) -> Runner:
        from vst_dicom.predict.torch_runner import TorchRunner

        spec = self.encoder.spec
        return TorchRunner(self.encoder.load(), spec.mean, spec.std, self.asked.threads)

    def _on_cuda(self, precision: Precision) -> Sequence[Runner]:
        """Open a runner on every CUDA device."""
        import torch

        from vst_dicom.predict.cuda_runner import CudaRunner

        spec = self.encoder.spec
        runners = [
            CudaRunner(self.encoder.load(), spec.mean, spec.std, spec.embed_dim, torch.device("cuda", index), precision)
            for index in range(torch.cuda.device_count())
        ]
        for runner in runners:
            self._check(runner.start(self.tile)()[0])
        return runners


def probe(runner: Runner, tiles: NDArray[np.uint8]) -> float:
    """Milliseconds per tile: of the first batch where that is long, else of as many as fit into a moment."""
    start = perf_counter()
    runner.start(tiles)()
    first_s = perf_counter() - start
    if first_s > _PROBE_S:
        return 1000 * first_s / len(tiles)
    n_tiles, start = 0, perf_counter()
    while perf_counter() - start < _PROBE_S:
        answers = [runner.start(tiles) for _ in range(runner.in_flight)]
        n_tiles += sum(len(answer()) for answer in answers)
    return 1000 * (perf_counter() - start) / n_tiles
