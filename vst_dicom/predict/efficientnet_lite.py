"""EfficientNet-Lite0 as a frozen encoder: tiles in, pooled features out.

The network of Tan and Le (EfficientNet, 2019) in its Lite form: no squeeze-and-excitation, ReLU6, stem and head of
fixed width. Padding follows TensorFlow's ``SAME`` rule, under which a strided convolution of an even image pads on
the right and at the bottom only; with symmetric padding the published weights would see shifted pixels.

Names of the parameters, all float32:

=====================================  =======================================================
``stem.conv.weight``                   first convolution, shape ``(32, 3, 3, 3)``
``blocks.<n>.expand.conv.weight``      1 × 1 convolution that widens; absent in block 0
``blocks.<n>.depthwise.conv.weight``   one filter per channel, 3 × 3 or 5 × 5
``blocks.<n>.project.conv.weight``     1 × 1 convolution that narrows, without activation
``head.conv.weight``                   last convolution, shape ``(1280, 320, 1, 1)``
``<any of these>.norm.*``              ``weight``, ``bias``, ``running_mean``, ``running_var``
=====================================  =======================================================
"""

from itertools import accumulate
from typing import Final

import torch
from torch import Tensor, nn

LAST_DIM: Final = 1280
"""Features of the last layer."""

PIXEL_MEAN: Final = (127 / 255, 127 / 255, 127 / 255)
"""What the weights were trained with, as a fraction of full intensity: (value - 127) / 128."""

PIXEL_STD: Final = (128 / 255, 128 / 255, 128 / 255)

_NORM_EPS: Final = 1e-3

_STAGES: Final[tuple[tuple[int, int, int, int, int], ...]] = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Repeats, kernel size, stride of the first block, expansion, width. Table 1 of the EfficientNet paper."""

STAGES_DIM: Final = sum(stage[-1] for stage in _STAGES) + LAST_DIM
"""Features of all stages and the last layer."""

_STAGE_ENDS: Final = tuple(accumulate(stage[0] for stage in _STAGES))
"""Number of blocks up to the end of each stage."""


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels to add before and after, so that the output has ``ceil(size / stride)`` pixels."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ConvNorm(nn.Module):
    """Convolution with TensorFlow's ``SAME`` padding, batch normalization and, where wanted, ReLU6."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, activate: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(n_out, eps=_NORM_EPS)
        self.kernel, self.stride, self.activate = kernel, stride, activate

    def forward(self, images: Tensor) -> Tensor:
        """Shape ``(n, n_in, rows, columns)`` to ``(n, n_out, ceil(rows / stride), ceil(columns / stride))``."""
        if self.kernel > 1:
            top, bottom = _same_padding(images.shape[2], self.kernel, self.stride)
            left, right = _same_padding(images.shape[3], self.kernel, self.stride)
            images = nn.functional.pad(images, (left, right, top, bottom))
        images = self.norm(self.conv(images))
        return nn.functional.relu6(images) if self.activate else images


class InvertedBottleneck(nn.Module):
    """Widen, filter each channel, narrow; added to its input where the shape stays."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        n_wide = n_in * expansion
        self.expand = ConvNorm(n_in, n_wide) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(n_wide, n_wide, kernel, stride, groups=n_wide)
        self.project = ConvNorm(n_wide, n_out, activate=False)
        self.residual = stride == 1 and n_in == n_out

    def forward(self, images: Tensor) -> Tensor:
        """Shape ``(n, n_in, rows, columns)`` to ``(n, n_out, rows / stride, columns / stride)``."""
        answer: Tensor = self.project(self.depthwise(self.expand(images)))
        return images + answer if self.residual else answer


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 up to its pooled features; the classifier is left out.

    Parameters
    ----------
    stages
        Whether the features are the means of every stage's output, from fine to coarse, beside those of the last
        layer: color and texture, which the last layer has turned into things, cost nothing more.
    """

    def __init__(self, *, stages: bool = False) -> None:
        super().__init__()
        self.stages = stages
        self.n_features = STAGES_DIM if stages else LAST_DIM
        self.stem = ConvNorm(3, 32, 3, 2)
        blocks: list[nn.Module] = []
        width = 32
        for repeats, kernel, stride, expansion, next_width in _STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedBottleneck(width, next_width, kernel, stride if repeat == 0 else 1, expansion))
                width = next_width
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(width, LAST_DIM)

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features.

        Parameters
        ----------
        images
            Normalized with `PIXEL_MEAN` and `PIXEL_STD`, shape ``(n, 3, rows, columns)``.

        Returns
        -------
        Tensor
            Shape ``(n, n_features)``.
        """
        maps: Tensor = self.stem(images)
        pooled = []
        for number, block in enumerate(self.blocks, start=1):
            maps = block(maps)
            if self.stages and number in _STAGE_ENDS:
                pooled.append(maps.mean(dim=(2, 3)))
        pooled.append(self.head(maps).mean(dim=(2, 3)))
        return torch.cat(pooled, dim=1)
