import pytest
import torch

from benchmarks.gpu import flop_per_tile, main
from vst_dicom.predict.presets import find_preset


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert main([]) == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_a_small_case_on_the_cpu_gives_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cpu", "--seconds", "0.01"]) == 0

    header, _, row = capsys.readouterr().out.splitlines()[:3]
    assert row.startswith("| efficientnet_lite0 | 0.8 | fp32 | 4 | ")
    assert row.count("|") == header.count("|")


@pytest.mark.parametrize(("preset", "giga"), [("efficientnet_lite0", 0.77), ("uni", 123), ("h-optimus-0", 608)])
def test_the_work_per_tile_is_counted_without_weights(preset: str, giga: float) -> None:
    assert flop_per_tile(find_preset(preset).encoder) / 1e9 == pytest.approx(giga, rel=0.01)
