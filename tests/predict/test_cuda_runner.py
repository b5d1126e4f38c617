"""The steps of the CUDA runner, on a CPU dressed up as a CUDA device; what they cost only a GPU can tell."""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.predict.engines import torch_engine
from tests.predict.small_encoders import small_transformer
from vst_dicom.domain.engine import Precision
from vst_dicom.domain.errors import BundleError
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.predict import cuda_runner, engine_choice
from vst_dicom.predict.cuda_runner import CudaRunner
from vst_dicom.predict.engine import Answer, DeviceMemoryError, embed
from vst_dicom.predict.engine_choice import EngineRequest, open_engine
from vst_dicom.predict.ladder import LadderEngine, Rung

HALF = (0.5, 0.5, 0.5)


class MeanColor(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


class Graph:
    """Records nothing: replaying it leaves the features as they were."""

    n_replays = 0

    def replay(self) -> None:
        Graph.n_replays += 1


@pytest.fixture
def dressed_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was asked of the device besides computing."""
    asked: list[str] = []
    waiting = SimpleNamespace(synchronize=lambda: None, record=lambda: None)
    stream = SimpleNamespace(
        wait_event=lambda _: asked.append("wait"), wait_stream=lambda _: None, synchronize=lambda: None
    )
    monkeypatch.setattr(cuda_runner, "_stream", lambda _: stream)
    monkeypatch.setattr(cuda_runner, "_event", lambda: waiting)
    for name, stand_in in {
        "device": lambda _: contextlib.nullcontext(),
        "stream": lambda _: contextlib.nullcontext(),
        "synchronize": lambda _: asked.append("synchronize"),
        "empty_cache": lambda: asked.append("empty cache"),
        "default_stream": lambda _: stream,
        "get_device_name": lambda _: "stand-in",
        "CUDAGraph": Graph,
        "graph": lambda *_, **__: contextlib.nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    yield asked


def runner(network: nn.Module, embed_dim: int = 3, precision: Precision = "fp32") -> CudaRunner:
    return CudaRunner(network, HALF, HALF, embed_dim, torch.device("cpu"), precision)


def batch(indices: list[int]) -> TileBatch:
    return TileBatch(np.array(indices), np.stack([np.full((4, 4, 3), 10 * i, np.uint8) for i in indices]))


@pytest.fixture
def no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", refuse)


@pytest.mark.usefixtures("dressed_up", "no_graph")
def test_a_network_that_cannot_be_recorded_is_called_as_usual() -> None:
    engine = LadderEngine([Rung("cuda", lambda: [runner(MeanColor())])], 3, 3)
    batches = [batch([4, 2]), batch([0, 1, 3, 5])]

    expected = embed(torch_engine(MeanColor(), HALF, HALF, 3), batches, 6)

    np.testing.assert_allclose(embed(engine, batches, 6), expected, rtol=1e-6)
    assert engine.device_name == "cuda (stand-in)"


def test_a_recorded_network_is_replayed(dressed_up: list[str]) -> None:
    Graph.n_replays = 0
    black = np.zeros((2, 4, 4, 3), np.uint8)
    made = runner(MeanColor())

    answers = [made.start(black), made.start(black[:1])]

    assert [answer().tolist() for answer in answers] == [[[-1, -1, -1]] * 2, [[-1, -1, -1]]]
    assert Graph.n_replays == 2
    assert dressed_up.count("empty cache") == 1


def test_a_larger_batch_is_recorded_anew(dressed_up: list[str]) -> None:
    made = runner(MeanColor())

    for n_tiles in (1, 3, 2):
        assert made.start(np.zeros((n_tiles, 4, 4, 3), np.uint8))().shape == (n_tiles, 3)

    assert dressed_up.count("empty cache") == 2


@pytest.mark.usefixtures("dressed_up")
def test_a_lack_of_memory_while_recording_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(MeanColor):
        def forward(self, images: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceMemoryError):
        runner(Full()).start(np.zeros((2, 4, 4, 3), np.uint8))

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "graph", full)
    with pytest.raises(DeviceMemoryError):
        runner(MeanColor()).start(np.zeros((2, 4, 4, 3), np.uint8))


@pytest.mark.usefixtures("dressed_up")
@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_weights_of_matrices_take_half_the_memory_and_norms_keep_theirs(
    precision: Precision, dtype: torch.dtype
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(64, 3), nn.LayerNorm(3))

    runner(network, precision=precision)

    assert [network[0].weight.dtype, network[2].weight.dtype] == [dtype, dtype]
    assert network[3].weight.dtype == torch.float32


class StandIn:
    """A runner on a device of the test's; bf16 turns the features away from what they should be."""

    in_flight = 2
    name = "torch"

    def __init__(self, *facts: object) -> None:
        self.device, self.precision = facts[-2:]
        self.device_name = str(self.device)

    def start(self, images: NDArray[np.uint8]) -> Answer:
        wrong = self.precision == "bf16"
        return lambda: np.full((len(images), 96), -1 if wrong else 1, np.float32)

    def free_memory(self) -> None:
        pass


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_choice, "may_have_cuda", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(cuda_runner, "CudaRunner", StandIn)


def opened(precision: str, check: engine_choice.Check) -> LadderEngine:
    return open_engine(small_transformer(), EngineRequest(precision=precision), check)  # type: ignore[arg-type]


def positive(features: NDArray[np.float32]) -> None:
    if features[0] < 0:
        raise BundleError("other features")


@pytest.mark.usefixtures("two_devices")
@pytest.mark.parametrize(("half", "expected"), [("fp16", "fp16"), ("bf16", "fp32")])
def test_auto_takes_half_width_where_the_reference_tile_allows_it(
    monkeypatch: pytest.MonkeyPatch, half: str, expected: str
) -> None:
    monkeypatch.setattr(cuda_runner, "best_half", lambda: half)

    engine = opened("auto", positive)

    assert engine.precision == expected
    assert engine.device_name == "2 × cuda:0"
    assert engine.facts.steps_down == ()


@pytest.mark.usefixtures("two_devices")
def test_arithmetic_that_is_demanded_and_wrong_is_refused() -> None:
    with pytest.raises(BundleError, match="other features"):
        opened("bf16", positive)


@pytest.mark.usefixtures("two_devices")
def test_cuda_descends_to_half_width_and_then_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_runner, "best_half", lambda: "fp16")

    def full(self: StandIn, images: NDArray[np.uint8]) -> Answer:
        if len(images) > (0 if self.precision == "fp32" else 1) or (images == 0).all():
            raise DeviceMemoryError
        return lambda: np.ones((len(images), 96), np.float32)

    engine = opened("fp32", lambda _: None)
    monkeypatch.setattr(StandIn, "start", full)
    one = TileBatch(np.arange(1), np.ones((1, 224, 224, 3), np.uint8))
    black = TileBatch(np.arange(1), np.zeros((1, 224, 224, 3), np.uint8))

    embed(engine, [one], 1)
    assert engine.precision == "fp16"
    embed(engine, [black], 1)

    assert engine.device_name.startswith("cpu")
    assert [step for step in engine.facts.steps_down if step.startswith("memory did not suffice")] == [
        "memory did not suffice for torch fp32 on cuda: torch fp16 on cuda",
        "memory did not suffice for torch fp16 on cuda: torch fp32 on cpu",
    ]


@pytest.mark.parametrize(("capabilities", "half"), [([(8, 0), (9, 0)], "bf16"), ([(8, 0), (7, 5)], "fp16")])
def test_the_oldest_device_decides_which_half(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[tuple[int, int]], half: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)

    assert cuda_runner.best_half() == half
