"""A folder with an encoder as the world publishes it: a description beside ``model.safetensors``.

Three descriptions are understood, the first that is there:

``encoder.json``
    The encoder as in a bundle's manifest, all of it; the way for any architecture of `timm`.
``config.json`` with ``model_type``
    ViT or DINOv2 as Hugging Face saves them, with ``preprocessor_config.json`` for the normalization.
``config.json`` with ``architecture``
    A network of `timm` as its authors publish it.
"""

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from vst_dicom.domain.errors import BundleError, MissingInputError
from vst_dicom.predict.encoders import EFFICIENTNET_LITE0
from vst_dicom.predict.manifest_model import Encoder

WEIGHTS_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"

_ENCODER: Final = "encoder.json"
_CONFIG: Final = "config.json"
_PIXELS: Final = "preprocessor_config.json"
_LIMIT_BYTES: Final = 4 << 20

_UNKNOWN_LICENSE: Final = "not stated in its folder; ask where the weights come from"

_KINDS: Final = {"dinov2": "class+patches", "dinov2_with_registers": "class+patches", "vit": "all"}
"""``model_type`` of Hugging Face, and which tokens have a learned position."""

_Pooling = Literal["network", "class", "class+mean", "mean"]


def read_description(folder: Path) -> Encoder:
    """Say what a folder holds.

    Raises
    ------
    MissingInputError
        If there is no description in it.
    BundleError
        If the description is not understood, or leaves out what must be known.
    """
    if (folder / _ENCODER).is_file():
        return _parse(_read(folder, _ENCODER), _ENCODER)
    if not (folder / _CONFIG).is_file():
        msg = f"{folder} describes no encoder: it has neither {_ENCODER} nor {_CONFIG}; or name one with --preset"
        raise MissingInputError(msg)
    config = _read(folder, _CONFIG)
    if config.get("model_type") in _KINDS:
        return _hugging_face(folder, config)
    if isinstance(config.get("architecture"), str):
        return _timm(folder, config)
    msg = (
        f"{_CONFIG} describes no encoder that is known: model_type {config.get('model_type')!r} is none of "
        f"{', '.join(_KINDS)}, and there is no architecture of timm; write {_ENCODER}, see docs/encoders.md"
    )
    raise BundleError(msg)


def shard_names(folder: Path) -> tuple[str, ...]:
    """Files that hold the weights: one, or those that the index names.

    Raises
    ------
    MissingInputError
        If there are none.
    BundleError
        If the index leaves the folder.
    """
    if (folder / WEIGHTS_FILE).is_file() or not (folder / INDEX_FILE).is_file():
        return (WEIGHTS_FILE,)
    names = sorted(set(_read(folder, INDEX_FILE).get("weight_map", {}).values()))
    if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        msg = f"{INDEX_FILE} names no safetensors files beside it; get the folder again"
        raise BundleError(msg)
    return tuple(names)


def _hugging_face(folder: Path, config: dict[str, Any]) -> Encoder:
    """ViT or DINOv2 as Hugging Face describes it."""
    kind = config["model_type"]
    width, gated = config.get("hidden_size", 768), bool(config.get("use_swiglu_ffn", False))
    inner = int(width * config.get("mlp_ratio", 4)) if kind != "vit" else config.get("intermediate_size", 3072)
    if gated:
        inner = 2 * ((int(inner * 2 / 3) + 7) // 8 * 8)
    if config.get("hidden_act", "gelu") != "gelu" or not config.get("qkv_bias", True):
        msg = f"{_CONFIG}: only gelu and biased attention are known of Hugging Face's {kind}; use a timm architecture"
        raise BundleError(msg)
    arguments = {
        "image_px": config.get("image_size", 224),
        "patch_px": config.get("patch_size", 16 if kind == "vit" else 14),
        "width": width,
        "depth": config.get("num_hidden_layers", 12),
        "n_heads": config.get("num_attention_heads", 12),
        "mlp_dim": inner,
        "gated": gated,
        "n_registers": config.get("num_register_tokens", 4) if kind == "dinov2_with_registers" else 0,
        "positions": _KINDS[kind],
        "layer_scale": kind != "vit",
        "norm_eps": config.get("layer_norm_eps", 1e-12 if kind == "vit" else 1e-6),
        "names": "huggingface",
    }
    if not (folder / _PIXELS).is_file():
        msg = f"{folder} has no {_PIXELS}, which says how colors are normalized; get the whole folder"
        raise MissingInputError(msg)
    pixels = _read(folder, _PIXELS)
    return _describe(folder, "vst_dicom", "vision_transformer", arguments, "class", width,
                     pixels.get("image_mean"), pixels.get("image_std"), _UNKNOWN_LICENSE)  # fmt: skip


def _timm(folder: Path, config: dict[str, Any]) -> Encoder:
    """Take what authors of `timm` networks write."""
    about = config.get("pretrained_cfg", {})
    return _describe(
        folder,
        "timm",
        config["architecture"],
        {**config.get("model_args", {}), "num_classes": 0},
        "network",
        config.get("num_features"),
        about.get("mean"),
        about.get("std"),
        about.get("license") or _UNKNOWN_LICENSE,
    )


def _describe(
    folder: Path,
    library: str,
    architecture: str,
    arguments: dict[str, Any],
    pooling: _Pooling,
    embed_dim: object,
    mean: object,
    std: object,
    license_: str,
) -> Encoder:
    """Complete a description with what all have in common: tiles of 112 µm, 224 px."""
    name = folder.resolve().name
    whole = {
        **EFFICIENTNET_LITE0.model_dump(),
        "name": name,
        "license": license_,
        "source": f"folder {name}",
        "library": library,
        "architecture": architecture,
        "arguments": arguments,
        "pooling": pooling,
        "embed_dim": embed_dim,
        "mean": mean,
        "std": std,
    }
    return _parse(whole, _CONFIG)


def _parse(value: dict[str, Any], name: str) -> Encoder:
    try:
        return Encoder.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        msg = f"{name}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}; see docs/encoders.md for what it takes"
        raise BundleError(msg) from None


def _read(folder: Path, name: str) -> dict[str, Any]:
    """Object in a JSON file of ordinary size."""
    try:
        with (folder / name).open("rb") as file:
            value = json.loads(file.read(_LIMIT_BYTES))
    except (OSError, ValueError) as error:
        msg = f"{folder / name} is no JSON that can be read; get the folder again"
        raise BundleError(msg) from error
    if not isinstance(value, dict):
        msg = f"{folder / name} is no JSON object; get the folder again"
        raise BundleError(msg)
    return value
