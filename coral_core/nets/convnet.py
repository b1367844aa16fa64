"""A convolutional pyramid: the body of the identity, perceptual and segmentation networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConvUnit(nn.Sequential):
    """3x3 convolution, batch norm, SiLU (a smooth function, so that gradients of images are smooth)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.SiLU(),
        )


class ConvPyramid(nn.Module):
    """[B,3,H,W] -> one map per width, [B,width_i,H/2^i,W/2^i]."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        before = [3, *widths[:-1]]
        self.stages = nn.ModuleList(
            nn.Sequential(ConvUnit(a, b, stride=1 if i == 0 else 2), ConvUnit(b, b))
            for i, (a, b) in enumerate(zip(before, widths, strict=True))
        )

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        maps, x = [], image_BCHW.contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)
