from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.predict.engines import torch_engine
from vst_dicom.domain.engine import Precision
from vst_dicom.domain.errors import ResourceError, UsageError
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.predict.cuda_runner import CudaRunner
from vst_dicom.predict.engine import embed
from vst_dicom.predict.engine_choice import wants_cuda
from vst_dicom.predict.ladder import LadderEngine, Rung


class MeanColor(nn.Module):
    """Three features: the mean of each normalized color."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


class Limited(MeanColor):
    """Runs out of memory above a number of tiles."""

    def __init__(self, most: int, error: Callable[[], Exception]) -> None:
        super().__init__()
        self.most, self.error = most, error
        self.sizes: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise self.error()
        return super().forward(images)


def engine(network: nn.Module, batch_size: int = 4) -> LadderEngine:
    return torch_engine(network, (0.5, 0.5, 0.5), (0.5, 0.25, 1.0), 3, batch_size)


def batch(indices: list[int]) -> TileBatch:
    """Tiles whose color is their index."""
    images = np.zeros((len(indices), 4, 4, 3), dtype=np.uint8)
    images[:] = np.array(indices)[:, None, None, None]
    return TileBatch(np.array(indices, dtype=np.int64), images)


def test_pixels_are_scaled_to_one_then_normalized_per_color() -> None:
    images = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    images[..., 0], images[..., 1], images[..., 2] = 255, 0, 51

    features = embed(engine(MeanColor()), [TileBatch(np.array([0]), images)], 1)

    assert features[0].tolist() == pytest.approx([1.0, -2.0, -0.3], abs=1e-6)


def test_rows_follow_the_indices_whatever_the_order_of_the_tiles() -> None:
    features = embed(engine(MeanColor()), [batch([2, 0]), batch([1, 3, 4])], 5)

    assert np.diff(features[:, 0]).tolist() == pytest.approx([2 / 255] * 4, abs=1e-6)


def test_progress_counts_tiles() -> None:
    seen: list[tuple[int, int]] = []

    embed(engine(MeanColor(), batch_size=2), [batch([0, 1, 2]), batch([3])], 4, lambda *done: seen.append(done))

    assert seen == [(2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory"),
        lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        MemoryError,
    ],
)
def test_running_out_of_memory_halves_the_batch_and_loses_no_tile(error: Callable[[], Exception]) -> None:
    network = Limited(2, error)
    working = engine(network, batch_size=8)

    features = embed(working, [batch([0, 1, 2, 3, 4])], 5)

    assert network.sizes == [5, 4, 2, 2, 1]
    assert working.batch_size == 2
    assert np.diff(features[:, 0]).tolist() == pytest.approx([2 / 255] * 4, abs=1e-6)


def test_one_tile_too_many_for_the_memory_says_what_to_do() -> None:
    with pytest.raises(ResourceError, match="does not suffice for one tile"):
        embed(engine(Limited(0, MemoryError)), [batch([0])], 1)


def test_another_failure_of_the_network_is_not_taken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="something else"):
        embed(engine(Limited(0, lambda: RuntimeError("something else"))), [batch([0])], 1)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([batch([0])], "1 of 2 tiles never came"),
        ([batch([0, 1]), batch([1])], "came twice"),
        ([batch([0, 0])], "came twice"),
        ([batch([0, 2])], "outside the grid"),
    ],
)
def test_each_tile_must_come_exactly_once(batches: list[TileBatch], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed(engine(MeanColor()), batches, 2)


def test_tiles_are_taken_lazily() -> None:
    network = Limited(99, MemoryError)
    taken: list[int] = []

    def batches() -> object:
        for index in range(3):
            taken.append(len(network.sizes))
            yield batch([index])

    embed(engine(network), batches(), 3)

    assert taken == [0, 1, 2]


def test_demanding_cuda_where_there_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(UsageError, match="--device cpu or auto"):
        wants_cuda("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_cuda_agrees_with_the_cpu(precision: Precision) -> None:
    batches = [batch([2, 0]), batch([1, 3, 4]), batch([5])]
    half = (0.5, 0.5, 0.5)
    rung = Rung("cuda", lambda: [CudaRunner(MeanColor(), half, half, 3, torch.device("cuda", 0), precision)])
    on_cuda, on_cpu = LadderEngine([rung], 3, 2), torch_engine(MeanColor(), half, half, 3)

    np.testing.assert_allclose(embed(on_cuda, batches, 6), embed(on_cpu, batches, 6), atol=1e-2)
