"""An encoder on the CPU, computed by torch."""

from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vst_dicom.domain.engine import EngineName, Precision
from vst_dicom.predict.engine import Answer, DeviceMemoryError
from vst_dicom.predict.folding import fold_norms
from vst_dicom.predict.manifest_model import Rgb

_Result = TypeVar("_Result")


_TILES_PER_THREAD: Final = 4
"""Tiles that go through the network at a stretch: what passes between its layers then stays in the processor's caches,
which nearly halves the time of EfficientNet-Lite0 (21 to 28 ms per tile against 41 to 48 with 32 tiles, one thread)."""


class TorchRunner:
    """A network on the CPU.

    Parameters
    ----------
    encoder
        Normalized images, shape ``(n, 3, tile_px, tile_px)``, to features, shape ``(n, embed_dim)``. It is changed:
        batch normalizations are folded into the convolutions before them.
    mean, std
        Normalization per color, for intensities from 0 to 1.
    threads
        CPU threads of torch; None leaves torch's own choice.
    """

    name: Final[EngineName] = "torch"
    precision: Final[Precision] = "fp32"
    in_flight: Final = 1

    def __init__(self, encoder: nn.Module, mean: Rgb, std: Rgb, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._encoder = fold_norms(encoder.eval())
        self._encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._scale, self._shift = normalization(mean, std)

    @property
    def device_name(self) -> str:
        """See `vst_dicom.predict.engine.Runner`."""
        return f"cpu ({torch.get_num_threads()} threads)"

    def start(self, images: NDArray[np.uint8]) -> Answer:
        """Compute at once; see `vst_dicom.predict.engine.Runner`."""
        with torch.inference_mode():
            features = within_memory(lambda: self._encode_all(images))
        return lambda: features

    def free_memory(self) -> None:
        """Nothing is kept between batches."""

    def _encode_all(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        n = _TILES_PER_THREAD * torch.get_num_threads()
        return np.concatenate([self._encode(images[start : start + n]).numpy() for start in range(0, len(images), n)])

    def _encode(self, images: NDArray[np.uint8]) -> Tensor:
        # (n, rows, columns, 3) seen as (n, 3, rows, columns) already is torch's channels_last layout.
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        features: Tensor = self._encoder(pixels.float().mul_(self._scale).add_(self._shift))
        return features


def normalization(mean: Rgb, std: Rgb) -> tuple[Tensor, Tensor]:
    """Factor and summand per color that turn 8-bit intensities into what the network wants, shape ``(3, 1, 1)``."""
    scale = 1 / (255 * torch.tensor(std))
    shift = -torch.tensor(mean) / torch.tensor(std)
    return scale.view(3, 1, 1), shift.view(3, 1, 1)


def within_memory(compute: Callable[[], _Result]) -> _Result:
    """Compute, and tell a lack of memory from other failures; torch's CPU allocator says so in words only.

    Raises
    ------
    DeviceMemoryError
        If memory ran out.
    """
    try:
        return compute()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise DeviceMemoryError(str(error)) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            raise DeviceMemoryError(str(error)) from error
        raise
