"""Networks of the `timm` library, for encoders that this package does not run by itself.

Only the architecture is taken from the library, never weights: nothing is fetched, and no file but safetensors is read.
"""

import re
from typing import Any, Final

from torch import Tensor, nn

from vst_dicom.domain.errors import BundleError
from vst_dicom.predict.manifest_model import Encoder
from vst_dicom.predict.vision_transformer import PooledTokens

INSTALL: Final = "pip install 'vst-dicom[timm]'"

_NAME: Final = re.compile(r"[a-z0-9_]+")
"""An architecture; anything with a colon, a slash or a dot would name weights."""

_FORBIDDEN: Final = re.compile(r"(pretrained|checkpoint|cache|scriptable|exportable|features_only|out_indices).*")
"""Arguments that would fetch or read a file, or change what the network gives."""


class _Tokens(nn.Module):
    """The network without its own pooling."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Tokens, shape ``(n, n_tokens, embed_dim)``."""
        tokens: Tensor = self.network.forward_features(images)  # type: ignore[operator]
        return tokens


def create_network(spec: Encoder) -> nn.Module:
    """Build the network with random weights and without a classifier.

    Raises
    ------
    BundleError
        If `timm` is missing or does not run here, or name or arguments are not those of an architecture.
    """
    if not _NAME.fullmatch(spec.architecture):
        msg = (
            f"encoder {spec.name!r}: {spec.architecture!r} is not the name of a timm architecture alone; leave out the "
            "tag after the dot and any address, the weights come from your file"
        )
        raise BundleError(msg)
    wrong = sorted(key for key in spec.arguments if _FORBIDDEN.fullmatch(key))
    if wrong:
        msg = f"encoder {spec.name!r}: the argument {wrong[0]} is not allowed; the weights come from your file alone"
        raise BundleError(msg)
    timm = _timm()
    arguments: dict[str, Any] = {"num_classes": 0, **spec.arguments}
    if arguments.get("mlp_layer") == "SwiGLUPacked":
        arguments["mlp_layer"] = timm.layers.SwiGLUPacked
    try:
        network: nn.Module = timm.create_model(spec.architecture, pretrained=False, **arguments)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        msg = f"encoder {spec.name!r}: timm {timm.__version__} cannot build {spec.architecture}: {error}"
        raise BundleError(msg) from error
    return network


def without_classifier(tensors: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Leave out the classifier that published weights of timm carry."""
    names = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))
    own = network.state_dict().keys()
    return {key: tensor for key, tensor in tensors.items() if key in own or not key.startswith(prefixes)}


def pooled(network: nn.Module, spec: Encoder) -> tuple[nn.Module, int]:
    """Pool as the manifest says; the encoder, and the number of its features.

    Raises
    ------
    BundleError
        If tokens are to be pooled and the network has no class token.
    """
    width = int(network.num_features)  # type: ignore[arg-type]
    if spec.pooling == "network":
        return network, width
    if spec.pooling == "stages":
        msg = f"encoder {spec.name!r}: pooling 'stages' is for efficientnet_lite0; use pooling 'network'"
        raise BundleError(msg)
    n_prefix = int(getattr(network, "num_prefix_tokens", -1))
    if n_prefix < (0 if spec.pooling == "mean" else 1):
        msg = f"encoder {spec.name!r}: {spec.architecture} has no class token; use pooling 'network'"
        raise BundleError(msg)
    return PooledTokens(_Tokens(network), n_prefix, spec.pooling), width * (2 if spec.pooling == "class+mean" else 1)


def _timm() -> Any:
    """Import the library, which itself imports torchvision."""
    try:
        import timm
    except ImportError as error:
        msg = f"this encoder needs the timm library: {INSTALL}"
        raise BundleError(msg) from error
    except RuntimeError as error:
        msg = (
            "timm cannot be imported: its torchvision was built for another torch than the one that is installed; "
            "install both from the same index, both for CPU or both for the same CUDA"
        )
        raise BundleError(msg) from error
    return timm
