"""Run an encoder over tiles: the one place that knows about devices, precision and memory of the accelerator."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

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

    def embed(
        self, batches: Iterable[TileBatch], n_tiles: int, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Features of tiles.

        While the device works on one batch the next is read and copied, so `batches` should be lazy.

        Parameters
        ----------
        batches
            Tiles in any order; each index from 0 to ``n_tiles - 1`` exactly once.
        n_tiles
            How many tiles there are in all.
        progress
            Called after every batch.

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
        embeddings = np.empty((n_tiles, self.embed_dim), dtype=np.float32)
        seen = np.zeros(n_tiles, dtype=np.bool_)
        pending: deque[tuple[NDArray[np.int64], Tensor]] = deque()
        n_done = 0

        def fetch() -> None:
            nonlocal n_done
            indices, features = pending.popleft()
            embeddings[indices] = features.float().cpu().numpy()
            n_done += len(indices)
            if progress is not None:
                progress(n_done, n_tiles)

        with torch.inference_mode():
            for batch in batches:
                if len(batch.indices) and (batch.indices.min() < 0 or batch.indices.max() >= n_tiles):
                    raise ValueError("a tile's index lies outside the grid")
                if seen[batch.indices].any() or len(np.unique(batch.indices)) < len(batch.indices):
                    raise ValueError("a tile came twice")
                seen[batch.indices] = True
                for part, features in self._forward(batch):
                    pending.append((part, features))
                    if self.device.type == "cpu" or len(pending) > _IN_FLIGHT:
                        fetch()
            while pending:
                fetch()
        if not seen.all():
            msg = f"{n_tiles - int(seen.sum())} of {n_tiles} tiles never came"
            raise ValueError(msg)
        return embeddings

    def _forward(self, batch: TileBatch) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Features on the device, in parts that fit its memory."""
        start = 0
        while start < len(batch.indices):
            stop = start + self.batch_size
            try:
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


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; torch's CPU allocator says so in words only."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)
