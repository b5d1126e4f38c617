import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.predict.small_encoders import small_transformer
from vst_dicom.domain.errors import BundleError, UsageError
from vst_dicom.predict import engine_choice, openvino_library, openvino_runner
from vst_dicom.predict.engine import Answer, DeviceMemoryError
from vst_dicom.predict.engine_choice import Check, EngineRequest, may_have_cuda, open_engine, probe, wants_cuda
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.ladder import LadderEngine

ENCODER = small_transformer()


def opened(folder: Path, check: Check = lambda _: None, **asked: object) -> LadderEngine:
    request = EngineRequest(**{"device": "cpu", "threads": 1, "cache": folder} | asked)  # type: ignore[arg-type]
    return open_engine(ENCODER, request, check)


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Milliseconds per tile that the probe finds; each measurement is counted."""
    found = {"openvino": 10.0, "torch": 30.0, "n": 0}

    def measure(runner: object, tiles: object) -> float:
        found["n"] += 1
        return found[runner.name]  # type: ignore[attr-defined]

    monkeypatch.setattr(engine_choice, "probe", measure)
    return found


@pytest.mark.parametrize(("torch_ms", "engine"), [(30.0, "openvino"), (9.5, "openvino"), (9.0, "torch")])
def test_auto_takes_openvino_unless_torch_is_clearly_faster(
    tmp_path: Path, probed: dict[str, float], torch_ms: float, engine: str
) -> None:
    probed["torch"] = torch_ms

    facts = opened(tmp_path).facts

    assert facts.name == engine
    assert facts.probe_ms == {"openvino fp32": 10.0, "torch fp32": torch_ms}


def test_a_choice_is_made_once_per_machine(tmp_path: Path, probed: dict[str, float]) -> None:
    first = opened(tmp_path).facts
    probed["torch"] = 1.0
    again = opened(tmp_path).facts

    assert again == first
    assert probed["n"] == 2


@pytest.mark.parametrize("content", ["", "{", '{"engine": "other"}', '{"engine": "torch", "probe_ms": 3}'])
def test_a_choice_that_cannot_be_read_is_made_again(tmp_path: Path, probed: dict[str, float], content: str) -> None:
    opened(tmp_path)
    (kept,) = tmp_path.glob("*.choice.json")
    kept.write_text(content)

    assert opened(tmp_path).name == "openvino"
    assert probed["n"] == 4


def test_another_number_of_threads_is_another_choice(tmp_path: Path, probed: dict[str, float]) -> None:
    opened(tmp_path)
    opened(tmp_path, threads=2)

    assert probed["n"] == 4


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_what_is_demanded_is_taken_without_a_probe(tmp_path: Path, probed: dict[str, float], engine: str) -> None:
    facts = opened(tmp_path, engine=engine).facts

    assert (facts.name, facts.probe_ms, probed["n"]) == (engine, {}, 0)


def test_without_openvino_torch_computes(
    tmp_path: Path, probed: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_choice, "has_openvino", lambda: False)

    assert opened(tmp_path).name == "torch"
    assert probed["n"] == 0
    with pytest.raises(UsageError, match=r"pip install 'vst-dicom\[openvino\]'"):
        opened(tmp_path, engine="openvino")


class Unknown(nn.Module):
    """Does what openvino does not know."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.special.bessel_j0(images.mean(dim=(2, 3)))


def test_a_network_that_openvino_does_not_know_is_computed_by_torch(tmp_path: Path) -> None:
    spec = ENCODER.spec.model_copy(update={"embed_dim": 3})
    encoder = FrozenEncoder(spec, "2" * 64, lambda: Unknown().eval())

    def chosen(engine: str) -> str:
        asked = EngineRequest(engine, "cpu", cache=tmp_path)  # type: ignore[arg-type]
        return open_engine(encoder, asked, lambda _: None).name

    assert chosen("auto") == "torch"
    with pytest.raises(UsageError, match="choose --engine torch"):
        chosen("openvino")


def test_every_engine_must_pass_the_check(tmp_path: Path) -> None:
    def refuse(features: NDArray[np.float32]) -> None:
        assert features.shape == (96,)
        raise BundleError("other features")

    for engine in ("auto", "torch", "openvino"):
        with pytest.raises(BundleError, match="other features"):
            opened(tmp_path, refuse, engine=engine)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("engine", ["torch", "openvino", "auto"])
def test_half_width_on_a_cpu_without_it_is_refused(
    tmp_path: Path, engine: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_choice, "has_bf16", lambda: False)

    with pytest.raises(UsageError, match="needs a CUDA device"):
        opened(tmp_path, engine=engine, precision=precision)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2 avx512f", False), ("fpu avx512_bf16", True), ("amx_bf16 amx_tile", True), ("avx512_bf16x", False)],
)
def test_bf16_is_known_by_the_flag_of_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, expected: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: A CPU\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    monkeypatch.setattr(openvino_library, "_CPU_FACTS", tmp_path / "cpuinfo")

    assert openvino_library.has_bf16() is expected
    assert openvino_library.cpu_model() == "A CPU"


def test_a_system_that_says_nothing_of_its_cpu_has_no_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_library, "_CPU_FACTS", tmp_path / "none")

    assert not openvino_library.has_bf16()
    assert openvino_library.cpu_model() == ""


def test_openvino_with_cuda_is_refused() -> None:
    with pytest.raises(UsageError, match="computes on the CPU"):
        wants_cuda("cuda", "openvino")


def test_a_machine_without_a_driver_is_not_asked_for_cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(engine_choice, "_CUDA_NODES", (str(tmp_path / "nvidiactl"),))
    assert not may_have_cuda()

    (tmp_path / "nvidiactl").touch()
    assert may_have_cuda()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("Caught exception: std::bad_alloc")])
def test_a_lack_of_memory_in_openvino_is_told_from_other_failures(error: Exception) -> None:
    with pytest.raises(DeviceMemoryError), openvino_runner._within_memory():
        raise error
    with pytest.raises(RuntimeError, match="something"), openvino_runner._within_memory():
        raise RuntimeError("something")


def test_the_probe_takes_a_moment() -> None:
    class Slow:
        in_flight = 2

        def __init__(self) -> None:
            self.n_started = 0

        def start(self, images: NDArray[np.uint8]) -> Answer:
            self.n_started += 1
            return lambda: np.zeros((len(images), 1), np.float32)

    runner = Slow()

    assert 0 < probe(runner, np.zeros((4, 2, 2, 3), np.uint8)) < 1  # type: ignore[arg-type]
    assert runner.n_started > 3


WITHOUT_TORCH = """
import sys
from pathlib import Path
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.predictor import Predictor
print(Predictor(load_bundle(), device="auto", cache=Path(sys.argv[1]), threads=1).engine.name, "torch" in sys.modules)
"""


@pytest.mark.skipif(may_have_cuda(), reason="torch is asked for CUDA here")
def test_a_machine_that_has_chosen_openvino_does_without_torch(tmp_path: Path) -> None:
    def start() -> list[str]:
        command = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path)]
        return subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=True).stdout.split()

    assert start() == ["openvino", "True"]
    assert start() == ["openvino", "False"]
    (kept,) = tmp_path.glob("*.choice.json")
    assert json.loads(kept.read_text())["engine"] == "openvino"
