"""Vision transformers as frozen encoders: tiles in, tokens out.

One network covers the family that pathology encoders are published in: the transformer of Dosovitskiy et al. (2021)
with DINOv2's additions (Oquab et al. 2024: scaled residuals, gated layers) and register tokens (Darcet et al. 2024).
Parameters carry the names under which `timm` publishes them, so that a published file is loaded as it is; those of
Hugging Face are renamed by `vst_dicom.predict.published_names`.
"""

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

Positions = Literal["patches", "class+patches", "all"]
Size = Annotated[int, Field(ge=1, le=65536)]


class VisionTransformerForm(BaseModel):
    """What a vision transformer is built with: the arguments in a manifest.

    Parameters
    ----------
    image_px, patch_px
        Side of the images and of the patches that it was trained on; other image sizes resample the positions.
    width, depth, n_heads
        Width of a token, number of blocks, attention heads.
    mlp_dim
        Width of a block's first linear layer; where `gated`, half of it gates the other half.
    gated
        SiLU-gated layers (SwiGLU) in place of GELU.
    n_registers
        Register tokens between class token and patches.
    positions
        Which tokens have a learned position: the patches; class token and patches, registers put in between
        afterwards (Hugging Face); or all.
    layer_scale
        Whether residuals are scaled.
    norm_eps
        Of the layer norms.
    names
        Who named the parameters in the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    image_px: Annotated[int, Field(ge=16, le=4096)]
    patch_px: Annotated[int, Field(ge=1, le=256)]
    width: Size
    depth: Annotated[int, Field(ge=1, le=256)]
    n_heads: Annotated[int, Field(ge=1, le=256)]
    mlp_dim: Size
    gated: bool = False
    n_registers: Annotated[int, Field(ge=0, le=256)] = 0
    positions: Positions = "all"
    layer_scale: bool = True
    norm_eps: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    names: Literal["timm", "huggingface"] = "timm"

    @property
    def n_positions(self) -> int:
        """Number of learned positions."""
        n_patches = (self.image_px // self.patch_px) ** 2
        return n_patches + {"patches": 0, "class+patches": 1, "all": 1 + self.n_registers}[self.positions]

    @property
    def n_prefix(self) -> int:
        """Tokens before the patches: the class token and the registers."""
        return 1 + self.n_registers


class _PatchEmbed(nn.Module):
    """Each patch to a token."""

    def __init__(self, form: VisionTransformerForm) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, form.width, form.patch_px, form.patch_px)

    def forward(self, images: Tensor) -> Tensor:
        """Shape ``(n, 3, rows, columns)`` to ``(n, width, grid rows, grid columns)``."""
        patches: Tensor = self.proj(images)
        return patches


class _Attention(nn.Module):
    """Every token looks at every token."""

    def __init__(self, form: VisionTransformerForm) -> None:
        super().__init__()
        self.n_heads = form.n_heads
        self.qkv = nn.Linear(form.width, 3 * form.width)
        self.proj = nn.Linear(form.width, form.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Keep the shape ``(n, n_tokens, width)``."""
        n, n_tokens, width = tokens.shape
        parts = self.qkv(tokens).reshape(n, n_tokens, 3, self.n_heads, width // self.n_heads).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        answer: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, n_tokens, width))
        return answer


class _Mlp(nn.Module):
    """Each token by itself through two linear layers."""

    def __init__(self, form: VisionTransformerForm) -> None:
        super().__init__()
        self.gated = form.gated
        self.fc1 = nn.Linear(form.width, form.mlp_dim)
        self.fc2 = nn.Linear(form.mlp_dim // 2 if form.gated else form.mlp_dim, form.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Keep the shape ``(n, n_tokens, width)``."""
        wide: Tensor = self.fc1(tokens)
        if self.gated:
            gate, value = wide.chunk(2, dim=-1)
            wide = nn.functional.silu(gate) * value
        else:
            wide = nn.functional.gelu(wide)
        answer: Tensor = self.fc2(wide)
        return answer


class _Scale(nn.Module):
    """A learned factor per feature."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Keep the shape."""
        return tokens * self.gamma


class _Block(nn.Module):
    """Attention, then the layers of each token, both added to what came in."""

    def __init__(self, form: VisionTransformerForm) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(form.width, eps=form.norm_eps)
        self.attn = _Attention(form)
        self.ls1 = _Scale(form.width) if form.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(form.width, eps=form.norm_eps)
        self.mlp = _Mlp(form)
        self.ls2 = _Scale(form.width) if form.layer_scale else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """Keep the shape ``(n, n_tokens, width)``."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        answer: Tensor = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return answer


class VisionTransformer(nn.Module):
    """A vision transformer up to its last layer norm.

    Raises
    ------
    ValueError
        If patches do not tile the image, heads do not divide the width, or a gated layer has an odd width.
    """

    def __init__(self, form: VisionTransformerForm) -> None:
        super().__init__()
        if form.image_px % form.patch_px or form.width % form.n_heads or (form.gated and form.mlp_dim % 2):
            msg = (
                f"patches of {form.patch_px} px in {form.image_px} px, {form.n_heads} heads in {form.width} features, "
                f"a layer of {form.mlp_dim}: these do not go together"
            )
            raise ValueError(msg)
        self.form = form
        self.patch_embed = _PatchEmbed(form)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, form.width))
        if form.n_registers:
            self.reg_token = nn.Parameter(torch.zeros(1, form.n_registers, form.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, form.n_positions, form.width))
        self.blocks = nn.Sequential(*(_Block(form) for _ in range(form.depth)))
        self.norm = nn.LayerNorm(form.width, eps=form.norm_eps)

    def forward(self, images: Tensor) -> Tensor:
        """Tokens of normalized images.

        Parameters
        ----------
        images
            Shape ``(n, 3, rows, columns)``, rows and columns multiples of the patch.

        Returns
        -------
        Tensor
            Class token, registers, patches row by row; shape ``(n, n_prefix + n_patches, width)``.
        """
        patches = self.patch_embed(images)
        positions = self._positions(patches.shape[2], patches.shape[3])
        tokens = patches.flatten(2).transpose(1, 2)
        n_images = tokens.shape[0]  # not len(), which a trace would take for a constant
        first = [self.cls_token.expand(n_images, -1, -1)]
        registers = [self.reg_token.expand(n_images, -1, -1)] if self.form.n_registers else []
        if self.form.positions == "patches":
            tokens = torch.cat([*first, *registers, tokens + positions], dim=1)
        elif self.form.positions == "all":
            tokens = torch.cat([*first, *registers, tokens], dim=1) + positions
        else:
            tokens = torch.cat([*first, tokens], dim=1) + positions
            tokens = torch.cat([tokens[:, :1], *registers, tokens[:, 1:]], dim=1)
        answer: Tensor = self.norm(self.blocks(tokens))
        return answer

    def _positions(self, n_rows: int, n_columns: int) -> Tensor:
        """Learned positions for a grid of patches, resampled where it is not the grid of the training."""
        side = self.form.image_px // self.form.patch_px
        if (n_rows, n_columns) == (side, side):
            return self.pos_embed
        n_others = self.form.n_positions - side**2
        grid = self.pos_embed[:, n_others:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        grid = nn.functional.interpolate(grid, size=(n_rows, n_columns), mode="bicubic", align_corners=False)
        return torch.cat([self.pos_embed[:, :n_others], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


class PooledTokens(nn.Module):
    """A network that gives tokens, and how they become one vector.

    Parameters
    ----------
    network
        Images to tokens, shape ``(n, n_prefix + n_patches, width)``.
    n_prefix
        Tokens before the patches, the class token first.
    pooling
        ``class``, ``class+mean`` (its features, then the mean over the patches), or ``mean``.
    """

    def __init__(self, network: nn.Module, n_prefix: int, pooling: Literal["class", "class+mean", "mean"]) -> None:
        super().__init__()
        self.network, self.n_prefix, self.pooling = network, n_prefix, pooling

    def forward(self, images: Tensor) -> Tensor:
        """Features, shape ``(n, width)`` or, for ``class+mean``, ``(n, 2 * width)``."""
        tokens = self.network(images)
        mean: Tensor = tokens[:, self.n_prefix :].mean(dim=1)
        if self.pooling == "mean":
            return mean
        own: Tensor = tokens[:, 0]
        return own if self.pooling == "class" else torch.cat([own, mean], dim=1)
