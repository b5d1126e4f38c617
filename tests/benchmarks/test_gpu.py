import pytest
import torch

from benchmarks.gpu import main


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert main([]) == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_a_small_case_on_the_cpu_gives_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cpu", "--seconds", "0.01"]) == 0

    header, _, row = capsys.readouterr().out.splitlines()[:3]
    assert row.startswith("| efficientnet_lite0 | 0.8 | fp32 | 4 | ")
    assert row.count("|") == header.count("|")
