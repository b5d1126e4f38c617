"""Names under which Hugging Face publishes the parameters of ViT and DINOv2, and ours.

Read in `transformers`: ``models/dinov2/modeling_dinov2.py`` and ``models/vit/modeling_vit.py`` as of 4.57 (later
versions name them otherwise in memory and save them under these names), and in public model folders.
"""

import re
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from vst_dicom.domain.errors import BundleError

_PARTS: Final[tuple[tuple[str, str], ...]] = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.register_tokens", "reg_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)", r"blocks.\1.attn.\2.\3"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
    (r"encoder\.layer\.(\d+)\.norm([12])\.(weight|bias)", r"blocks.\1.norm\2.\3"),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.(weight|bias)", r"blocks.\1.norm1.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.(weight|bias)", r"blocks.\1.norm2.\2"),
    (r"encoder\.layer\.(\d+)\.mlp\.(?:fc1|weights_in)\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (r"encoder\.layer\.(\d+)\.mlp\.(?:fc2|weights_out)\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    (r"layernorm\.(weight|bias)", r"norm.\1"),
)
"""Published name of a parameter, and ours; query, key and value become one."""

_UNUSED: Final = re.compile(r"embeddings\.mask_token|pooler\..*")
"""Parameters that serve training or classification only."""


def rename(published: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Give the tensors of a Hugging Face file our names.

    Parameters
    ----------
    published
        Tensors under Hugging Face's names.
    name
        Of the file, for messages.

    Raises
    ------
    BundleError
        If a name belongs to no part of ViT or DINOv2, or a query has no key and value.
    """
    tensors: dict[str, Tensor] = {}
    for key, tensor in published.items():
        if _UNUSED.fullmatch(key):
            continue
        ours = next((re.sub(part, new, key) for part, new in _PARTS if re.fullmatch(part, key)), None)
        if ours is None:
            msg = (
                f"{name} holds {key}, which no ViT or DINOv2 of Hugging Face has; take the file that belongs to the "
                "preset, or the base model without a task's head"
            )
            raise BundleError(msg)
        tensors[ours] = tensor
    for query in [key for key in tensors if ".attn.query." in key]:
        parts = [query.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        missing = [part for part in parts if part not in tensors]
        if missing:
            msg = f"{name} has {query} and no {missing[0]}; get it again"
            raise BundleError(msg)
        tensors[query.replace(".query.", ".qkv.")] = torch.cat([tensors.pop(part) for part in parts])
    return tensors
