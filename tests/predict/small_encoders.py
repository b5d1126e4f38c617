"""Encoders of each architecture with random weights, small where they may be."""

import torch
from torch import nn

from vst_dicom.predict.efficientnet_lite import EfficientNetLite0
from vst_dicom.predict.encoders import EFFICIENTNET_LITE0
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.vision_transformer import PooledTokens, VisionTransformer, VisionTransformerForm

_FORM = VisionTransformerForm(image_px=224, patch_px=16, width=48, depth=2, n_heads=3, mlp_dim=96, gated=True,
                              n_registers=4, positions="patches")  # fmt: skip


def small_transformer(seed: int = 0) -> FrozenEncoder:
    """Two blocks of a vision transformer, class token beside the mean."""

    def load() -> nn.Module:
        torch.manual_seed(seed)
        network = VisionTransformer(_FORM)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.2)
        return PooledTokens(network, _FORM.n_prefix, "class+mean").eval()

    colors = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    spec = EFFICIENTNET_LITE0.model_copy(
        update={"name": "small", "embed_dim": 96, "architecture": "vision_transformer", **colors}
    )
    return FrozenEncoder(spec, f"{seed:064x}", load)


def lite() -> FrozenEncoder:
    """EfficientNet-Lite0 whose normalizations are not those of a fresh network."""

    def load() -> nn.Module:
        torch.manual_seed(0)
        network = EfficientNetLite0(stages=True)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        return network.eval()

    return FrozenEncoder(EFFICIENTNET_LITE0, "1" * 64, load)
