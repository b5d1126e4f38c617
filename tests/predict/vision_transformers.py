"""Weights of vision transformers for tests: the published names written by hand, the numbers by a formula."""

from collections.abc import Iterable

import torch
from torch import Tensor

from vst_dicom.predict.manifest_model import Encoder
from vst_dicom.predict.presets import PRESETS


def timm_shapes(
    *, width: int, depth: int, fc1: int, fc2: int, positions: int, registers: int, patch: int, scaled: bool = True
) -> dict[str, tuple[int, ...]]:
    """Names and shapes as `timm` publishes them."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, positions, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    if registers:
        shapes["reg_token"] = (1, registers, width)
    for block in range(depth):
        shapes |= {
            f"blocks.{block}.norm1.weight": (width,),
            f"blocks.{block}.norm1.bias": (width,),
            f"blocks.{block}.attn.qkv.weight": (3 * width, width),
            f"blocks.{block}.attn.qkv.bias": (3 * width,),
            f"blocks.{block}.attn.proj.weight": (width, width),
            f"blocks.{block}.attn.proj.bias": (width,),
            f"blocks.{block}.norm2.weight": (width,),
            f"blocks.{block}.norm2.bias": (width,),
            f"blocks.{block}.mlp.fc1.weight": (fc1, width),
            f"blocks.{block}.mlp.fc1.bias": (fc1,),
            f"blocks.{block}.mlp.fc2.weight": (width, fc2),
            f"blocks.{block}.mlp.fc2.bias": (width,),
        }
        if scaled:
            shapes |= {f"blocks.{block}.ls1.gamma": (width,), f"blocks.{block}.ls2.gamma": (width,)}
    return shapes


def dinov2_shapes(
    *, width: int, depth: int, inner: int, gated: bool, positions: int, patch: int
) -> dict[str, tuple[int, ...]]:
    """Names and shapes as Hugging Face publishes DINOv2."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.mask_token": (1, width),
        "embeddings.position_embeddings": (1, positions, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, patch, patch),
        "embeddings.patch_embeddings.projection.bias": (width,),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
    }
    first, second = ("weights_in", "weights_out") if gated else ("fc1", "fc2")
    for layer in range(depth):
        name = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes[f"{name}.attention.attention.{part}.weight"] = (width, width)
            shapes[f"{name}.attention.attention.{part}.bias"] = (width,)
        shapes |= {
            f"{name}.attention.output.dense.weight": (width, width),
            f"{name}.attention.output.dense.bias": (width,),
            f"{name}.layer_scale1.lambda1": (width,),
            f"{name}.layer_scale2.lambda1": (width,),
            f"{name}.norm1.weight": (width,),
            f"{name}.norm1.bias": (width,),
            f"{name}.norm2.weight": (width,),
            f"{name}.norm2.bias": (width,),
            f"{name}.mlp.{first}.weight": (2 * inner if gated else inner, width),
            f"{name}.mlp.{first}.bias": (2 * inner if gated else inner,),
            f"{name}.mlp.{second}.weight": (width, inner),
            f"{name}.mlp.{second}.bias": (width,),
        }
    return shapes


def vit_shapes(*, width: int, depth: int, inner: int, positions: int, patch: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes as Hugging Face publishes ViT."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.position_embeddings": (1, positions, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, patch, patch),
        "embeddings.patch_embeddings.projection.bias": (width,),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    for layer in range(depth):
        name = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes[f"{name}.attention.attention.{part}.weight"] = (width, width)
            shapes[f"{name}.attention.attention.{part}.bias"] = (width,)
        shapes |= {
            f"{name}.attention.output.dense.weight": (width, width),
            f"{name}.attention.output.dense.bias": (width,),
            f"{name}.intermediate.dense.weight": (inner, width),
            f"{name}.intermediate.dense.bias": (inner,),
            f"{name}.output.dense.weight": (width, inner),
            f"{name}.output.dense.bias": (width,),
            f"{name}.layernorm_before.weight": (width,),
            f"{name}.layernorm_before.bias": (width,),
            f"{name}.layernorm_after.weight": (width,),
            f"{name}.layernorm_after.bias": (width,),
        }
    return shapes


def published_shapes(preset: str, depth: int | None = None) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the published file of a preset; `depth` blocks of them."""
    giant = {"width": 1536, "fc1": 8192, "fc2": 4096}
    whole = {
        "h-optimus-0": lambda n: timm_shapes(**giant, depth=n or 40, positions=256, registers=4, patch=14),
        "uni": lambda n: timm_shapes(
            width=1024, depth=n or 24, fc1=4096, fc2=4096, positions=197, registers=0, patch=16
        ),
        "uni2-h": lambda n: timm_shapes(**giant, depth=n or 24, positions=256, registers=8, patch=14),
        "virchow2": lambda n: timm_shapes(
            width=1280, depth=n or 32, fc1=6832, fc2=3416, positions=261, registers=4, patch=14
        ),
        "gigapath": lambda n: timm_shapes(**giant, depth=n or 40, positions=197, registers=0, patch=16),
        "h0-mini": lambda n: timm_shapes(
            width=768, depth=n or 12, fc1=4096, fc2=2048, positions=256, registers=4, patch=14
        ),
        "midnight-12k": lambda n: dinov2_shapes(
            width=1536, depth=n or 40, inner=4096, gated=True, positions=1370, patch=14
        ),
        "phikon-v2": lambda n: dinov2_shapes(
            width=1024, depth=n or 24, inner=4096, gated=False, positions=197, patch=16
        ),
    }
    return whole[preset](depth)


def waves(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Numbers that every library can make: a sine along each tensor, another phase for each name."""
    return {
        name: _wave(shape, phase, offset=1.0 if name.endswith(("gamma", "lambda1")) else 0.0)
        for phase, (name, shape) in enumerate(sorted(shapes.items()))
    }


def _wave(shape: Iterable[int], phase: int, offset: float) -> Tensor:
    size = torch.Size(shape)
    angles = torch.arange(size.numel(), dtype=torch.float64) * 0.37 + phase
    return (offset + 0.3 * torch.sin(angles)).float().reshape(size)


def noise(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Random weights."""
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.05 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def shallow(preset: str, depth: int = 2) -> Encoder:
    """Take a preset with fewer blocks, all else as published."""
    spec = PRESETS[preset].encoder
    return spec.model_copy(update={"arguments": {**spec.arguments, "depth": depth}})
