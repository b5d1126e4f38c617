"""An encoder on one CUDA device, computed by torch: everything that only such a device can do is here.

Pixels of one batch go to the device, from memory that it reads by itself, while the network computes another. The
network is recorded once as a CUDA graph and replayed, so that a small network does not wait for Python; where that
cannot be done it is called as usual. TensorFloat-32 stays off: fp32 means fp32.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vst_dicom.domain.engine import EngineName, Precision
from vst_dicom.predict.engine import Answer
from vst_dicom.predict.folding import fold_norms
from vst_dicom.predict.manifest_model import Rgb
from vst_dicom.predict.torch_runner import normalization, within_memory

_log = structlog.get_logger(__name__)

_HALF: Final[dict[Precision, torch.dtype]] = {"fp16": torch.float16, "bf16": torch.bfloat16}
_WARM_UPS: Final = 3
"""Runs before the network is recorded, in which libraries choose their algorithms and take their memory."""


@dataclass(frozen=True)
class _Slot:
    """Memory of one batch on its way; the first two as the host sees them, the others on the device."""

    pixels: Tensor
    features: Tensor
    device_pixels: Tensor
    copied: Any
    """Event: the device has the pixels."""
    done: Any
    """Event: the host has the features."""


class CudaRunner:
    """A network on one CUDA device.

    Parameters
    ----------
    encoder
        As of `vst_dicom.predict.torch_runner.TorchRunner`; it is moved to the device and changed.
    mean, std
        Normalization per color, for intensities from 0 to 1.
    embed_dim
        Features per tile.
    device
        One CUDA device.
    precision
        Arithmetic; halves run under autocast, which keeps norms and sums in fp32.

    Raises
    ------
    DeviceMemoryError
        If the device cannot hold the network.
    """

    name: Final[EngineName] = "torch"
    in_flight: Final = 2

    def __init__(
        self, encoder: nn.Module, mean: Rgb, std: Rgb, embed_dim: int, device: torch.device, precision: Precision
    ) -> None:
        self.device = device
        self.precision: Precision = precision
        self.embed_dim = embed_dim
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        self._scale, self._shift = (tensor.to(self.device) for tensor in normalization(mean, std))
        self._encoder = encoder
        within_memory(self._place)
        self._upload, self._compute = _stream(self.device), _stream(self.device)
        self._slots: list[_Slot] = []
        self._next = 0
        self._network: Callable[[Tensor], Tensor] = self._encode

    @property
    def device_name(self) -> str:
        """See `vst_dicom.predict.engine.Runner`."""
        return f"cuda ({torch.cuda.get_device_name(self.device)})"

    def start(self, images: NDArray[np.uint8]) -> Answer:
        """Begin a batch and return before it is done; see `vst_dicom.predict.engine.Runner`.

        Every batch takes the time of the largest so far, since graphs have a fixed shape: only the last is smaller.
        """
        with torch.inference_mode(), torch.cuda.device(self.device):
            slot = within_memory(lambda: self._slot(images))
            within_memory(lambda: self._launch(slot, images))

        def answer() -> NDArray[np.float32]:
            slot.done.synchronize()
            return slot.features[: len(images)].numpy().copy()

        return answer

    def free_memory(self) -> None:
        """Forget the graph and the slots; see `vst_dicom.predict.engine.Runner`."""
        torch.cuda.synchronize(self.device)
        self._slots, self._network = [], self._encode
        torch.cuda.empty_cache()

    def _place(self) -> None:
        """Move the network; weights of matrices are kept in the arithmetic that multiplies them."""
        encoder = fold_norms(self._encoder.eval()).to(self.device)
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        half = _HALF.get(self.precision)
        for module in encoder.modules():
            if half is not None and isinstance(module, (nn.Linear, nn.Conv2d)):
                module.to(half)
        self._encoder = encoder

    def _slot(self, images: NDArray[np.uint8]) -> _Slot:
        """Memory for a batch; made anew, with the graph, when one is larger than all before."""
        if not self._slots or len(self._slots[0].pixels) < len(images):
            self.free_memory()
            self._slots = [self._make_slot(images.shape) for _ in range(self.in_flight)]
            self._network = self._record(self._slots[0].device_pixels)
        slot = self._slots[self._next]
        self._next = (self._next + 1) % len(self._slots)
        slot.done.synchronize()  # an answer that nobody fetched
        return slot

    def _make_slot(self, shape: tuple[int, ...]) -> _Slot:
        pixels = torch.zeros(shape, dtype=torch.uint8).pin_memory()
        return _Slot(
            pixels=pixels,
            features=torch.empty((shape[0], self.embed_dim)).pin_memory(),
            device_pixels=pixels.to(self.device),
            copied=_event(),
            done=_event(),
        )

    def _launch(self, slot: _Slot, images: NDArray[np.uint8]) -> None:
        """Queue the steps; each waits for the one before on the device, not here."""
        slot.pixels.numpy()[: len(images)] = images
        with torch.cuda.stream(self._upload):
            slot.device_pixels.copy_(slot.pixels, non_blocking=True)
            slot.copied.record()
        with torch.cuda.stream(self._compute):
            self._compute.wait_event(slot.copied)
            features = self._network(slot.device_pixels)
            slot.features.copy_(features, non_blocking=True)
            slot.done.record()

    def _record(self, example: Tensor) -> Callable[[Tensor], Tensor]:
        """Record the network as a graph; falls back to calling it where that fails for another reason than memory."""
        with torch.cuda.stream(self._compute):
            self._compute.wait_stream(torch.cuda.default_stream(self.device))
            static_pixels = example.clone()
            for _ in range(_WARM_UPS):
                self._encode(static_pixels)
            self._compute.synchronize()
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(graph, stream=self._compute):
                    static_features = self._encode(static_pixels)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                _log.warning("no CUDA graph, the network is called as usual", problem=type(error).__name__)
                return self._encode

        def replay(pixels: Tensor) -> Tensor:
            static_pixels.copy_(pixels)
            graph.replay()
            return static_features

        return replay

    def _encode(self, pixels: Tensor) -> Tensor:
        """8-bit pixels, shape ``(n, rows, columns, 3)``, to float32 features."""
        # (n, rows, columns, 3) seen as (n, 3, rows, columns) already is torch's channels_last layout.
        normalized = pixels.permute(0, 3, 1, 2).float().mul_(self._scale).add_(self._shift)
        half = _HALF.get(self.precision)
        # Casts must not be remembered between the recording and its replays.
        autocast = torch.autocast("cuda", dtype=half, cache_enabled=False) if half else contextlib.nullcontext()
        with autocast:
            features: Tensor = self._encoder(normalized)
        return features.float()


def _stream(device: torch.device) -> Any:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _event() -> Any:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]


def best_half() -> Precision:
    """Half-width arithmetic that the devices here do best: bf16 needs compute capability 8."""
    capable = all(torch.cuda.get_device_capability(index) >= (8, 0) for index in range(torch.cuda.device_count()))
    return "bf16" if capable else "fp16"
