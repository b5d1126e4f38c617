"""Run an encoder over tiles: the one place that knows about devices, precision and memory of the accelerator."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vst_dicom.domain.errors import ResourceError, UsageError
from vst_dicom.domain.tiles import TileBatch

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "fp16", "bf16"]
Progress = Callable[[int, int], None]
"""Called with tiles done and tiles in all."""

_AUTOCAST: Final[dict[str, torch.dtype]] = {"fp16": torch.float16, "bf16": torch.bfloat16}
_IN_FLIGHT: Final = 2
"""Batches that the accelerator may have in work before the oldest answer is fetched."""


Features = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Indices of tiles, shape ``(n,)``, and what the encoder makes of them, shape ``(n, embed_dim)``."""


class Engine(Protocol):
    """An encoder on a device, ready to work."""

    @property
    def name(self) -> str:
        """What computes: ``torch`` or ``openvino``."""
        ...

    @property
    def device_name(self) -> str:
        """Where, for people: ``cpu (2 threads)``, or the name of the accelerator."""
        ...

    @property
    def precision(self) -> Precision:
        """Arithmetic."""
        ...

    @property
    def batch_size(self) -> int:
        """Most tiles that go through the network at once; may shrink while it works."""
        ...

    @property
    def embed_dim(self) -> int:
        """Features per tile."""
        ...

    def stream(self, batches: Iterable[TileBatch]) -> Iterator[Features]:
        """Features of tiles, part by part.

        A batch is taken only when the device has room for it, and a part is given as soon as it is done; while the
        device works on one batch the next may be read. Parts need be neither whole batches nor in their order.

        Raises
        ------
        ResourceError
            If memory does not suffice for a single tile.
        """
        ...


def embed(
    engine: Engine, batches: Iterable[TileBatch], n_tiles: int, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Features of all tiles of a grid, together.

    Parameters
    ----------
    engine
        Computes them.
    batches
        Tiles in any order; each index from 0 to ``n_tiles - 1`` exactly once.
    n_tiles
        How many tiles there are in all.
    progress
        Called after every part.

    Returns
    -------
    NDArray[np.float32]
        Shape ``(n_tiles, embed_dim)``, rows in the order of the indices.

    Raises
    ------
    ResourceError
        If memory does not suffice for a single tile.
    ValueError
        If a tile is missing, comes twice or lies outside.
    """
    embeddings = np.empty((n_tiles, engine.embed_dim), dtype=np.float32)
    n_done = 0
    for indices, features in engine.stream(each_once(batches, n_tiles)):
        embeddings[indices] = features
        n_done += len(indices)
        if progress is not None:
            progress(n_done, n_tiles)
    return embeddings


def each_once(batches: Iterable[TileBatch], n_tiles: int) -> Iterator[TileBatch]:
    """Pass batches on, and see that they hold each tile of a grid exactly once.

    Raises
    ------
    ValueError
        If a tile comes twice or lies outside, or after the last batch if one is missing.
    """
    seen = np.zeros(n_tiles, dtype=np.bool_)
    for batch in batches:
        if len(batch.indices) and (batch.indices.min() < 0 or batch.indices.max() >= n_tiles):
            raise ValueError("a tile's index lies outside the grid")
        if seen[batch.indices].any() or len(np.unique(batch.indices)) < len(batch.indices):
            raise ValueError("a tile came twice")
        seen[batch.indices] = True
        yield batch
    if not seen.all():
        msg = f"{n_tiles - int(seen.sum())} of {n_tiles} tiles never came"
        raise ValueError(msg)


def choose_device(device: Device) -> torch.device:
    """Take CUDA where it is and is wanted.

    Raises
    ------
    UsageError
        If CUDA is demanded and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device can be used here; choose --device cpu or auto")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


class TorchEngine:
    """An encoder on a device.

    Parameters
    ----------
    encoder
        Normalized images, shape ``(n, 3, tile_px, tile_px)``, to features, shape ``(n, embed_dim)``.
    mean, std
        Normalization per color, for intensities from 0 to 1.
    embed_dim
        Features per tile.
    device
        ``auto`` takes CUDA where there is one.
    precision
        Arithmetic; half precisions on CUDA only.
    batch_size
        Most tiles that go through the network at once; halved, for good, when the device runs out of memory.
    threads
        CPU threads of torch; None leaves torch's own choice.

    Raises
    ------
    UsageError
        If the device or the precision cannot be had.
    """

    def __init__(
        self,
        encoder: nn.Module,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        embed_dim: int,
        *,
        device: Device = "auto",
        precision: Precision = "fp32",
        batch_size: int = 32,
        threads: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError("the batch size must be at least 1")
        self.device = choose_device(device)
        if precision != "fp32" and self.device.type != "cuda":
            msg = f"precision {precision} needs a CUDA device; choose fp32"
            raise UsageError(msg)
        if threads is not None:
            torch.set_num_threads(threads)
        self.name = "torch"
        self.precision: Precision = precision
        self.batch_size = batch_size
        self.embed_dim = embed_dim
        self._encoder = encoder.eval().to(self.device)
        self._encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._scale = (1 / (255 * torch.tensor(std))).view(1, 3, 1, 1).to(self.device)
        self._shift = (-torch.tensor(mean) / torch.tensor(std)).view(1, 3, 1, 1).to(self.device)

    @property
    def device_name(self) -> str:
        """For people: ``cpu``, or the name of the accelerator."""
        if self.device.type == "cuda":
            return f"cuda ({torch.cuda.get_device_name(self.device)})"
        return f"cpu ({torch.get_num_threads()} threads)"

    def stream(self, batches: Iterable[TileBatch]) -> Iterator[Features]:
        """Features of tiles, part by part; see `Engine.stream`."""
        pending: deque[tuple[NDArray[np.int64], Tensor]] = deque()
        for batch in batches:
            for part in self._forward(batch):
                pending.append(part)
                if self.device.type == "cpu" or len(pending) > _IN_FLIGHT:
                    yield _fetch(*pending.popleft())
        while pending:
            yield _fetch(*pending.popleft())

    def _forward(self, batch: TileBatch) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Features on the device, in parts that fit its memory."""
        start = 0
        while start < len(batch.indices):
            stop = start + self.batch_size
            try:
                with torch.inference_mode():
                    features = self._encode(batch.images[start:stop])
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._shrink(error)
                continue
            yield batch.indices[start:stop], features
            start = stop

    def _encode(self, images: NDArray[np.uint8]) -> Tensor:
        """Copy, normalize and encode; on CUDA this returns before the work is done."""
        pixels = torch.from_numpy(np.ascontiguousarray(images))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        # (n, rows, columns, 3) seen as (n, 3, rows, columns) already is torch's channels_last layout.
        normalized = pixels.permute(0, 3, 1, 2).float().mul_(self._scale).add_(self._shift)
        half = _AUTOCAST.get(self.precision)
        with torch.autocast("cuda", dtype=half) if half else contextlib.nullcontext():
            features: Tensor = self._encoder(normalized)
        return features

    def _shrink(self, error: BaseException) -> None:
        """Halve the batch size, or give up."""
        if self.batch_size == 1:
            msg = f"memory of {self.device_name} does not suffice for one tile; free memory or choose another device"
            raise ResourceError(msg) from error
        self.batch_size //= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _fetch(indices: NDArray[np.int64], features: Tensor) -> Features:
    """Wait for features and take them from the device."""
    return indices, features.float().cpu().numpy()


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; torch's CPU allocator says so in words only."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)
