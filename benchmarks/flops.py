"""Floating point operations of the encoders that this product knows, and how many a CPU does in a second."""

from functools import cache
from time import perf_counter
from typing import Final

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vst_dicom.predict.efficientnet_lite import EfficientNetLite0
from vst_dicom.predict.encoders import parse_form
from vst_dicom.predict.manifest_model import Encoder
from vst_dicom.predict.presets import PRESETS
from vst_dicom.predict.vision_transformer import VisionTransformer

TRANSFORMER_MEASURED: Final = "h0-mini"
"""The smallest vision transformer among the presets stands for all: their matrices are larger, and go no slower."""

_TILES: Final = 4


@cache
def gigaflop_per_tile(name: str) -> float:
    """Count one tile through a preset; nothing is computed. A multiplication with its addition counts as two."""
    spec = PRESETS[name].encoder
    with torch.device("meta"):
        network = _network(spec)
        tile = torch.empty(1, 3, spec.tile_px, spec.tile_px)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network(tile)
    return float(counter.get_total_flops()) / 1e9


def is_transformer(name: str) -> bool:
    """Whether a preset is a vision transformer."""
    return PRESETS[name].encoder.architecture == "vision_transformer"


def transformer_gigaflops(rounds: int) -> float:
    """Measure operations per second of a vision transformer with random weights, torch, fp32, all threads."""
    spec = PRESETS[TRANSFORMER_MEASURED].encoder
    network, tiles = _network(spec), torch.rand(_TILES, 3, spec.tile_px, spec.tile_px)
    seconds = []
    with torch.inference_mode():
        for number in range(rounds + 1):
            start = perf_counter()
            network(tiles)
            if number:  # the first round is not measured
                seconds.append(perf_counter() - start)
    return _TILES * gigaflop_per_tile(TRANSFORMER_MEASURED) / min(seconds)


def _network(spec: Encoder) -> nn.Module:
    if spec.architecture == "efficientnet_lite0":
        return EfficientNetLite0(stages=True).eval()
    return VisionTransformer(parse_form(spec)).eval()
