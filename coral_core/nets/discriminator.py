"""StyleGAN2's residual discriminator (Karras et al. 2020), for training generators only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from coral_core.nets.layers import EqualConv2d, EqualLinear
from coral_core.ops.bias_act import GAIN
from coral_core.ops.upfirdn2d import blur_before_stride


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Sizes of a discriminator."""

    image_size: int = 64  # input pixels
    channels: tuple[int, ...] = (128, 128, 96, 64, 32)  # feature maps at 4, 8, ... image_size pixels


class DiscriminatorBlock(nn.Module):
    """[B,in,S,S] -> [B,out,S/2,S/2]: the sum of two convolutions and a blurred, strided skip, divided by sqrt 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = EqualConv2d(in_channels, in_channels, 3)
        self.second = EqualConv2d(in_channels, out_channels, 3, stride=2, pad=False)
        self.skip = EqualConv2d(in_channels, out_channels, 1, stride=2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = _act(self.first(x))
        y = _act(self.second(blur_before_stride(y, 3)))
        return (y + self.skip(blur_before_stride(x, 1))) / math.sqrt(2)


class Discriminator(nn.Module):
    """[B,3,R,R] -> logits [B], with a minibatch standard deviation channel before the last layers."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels[::-1]
        self.from_rgb = EqualConv2d(3, widths[0], 1)
        self.blocks = nn.Sequential(*(DiscriminatorBlock(a, b) for a, b in pairwise(widths)))
        self.last_conv = EqualConv2d(widths[-1] + 1, widths[-1], 3)
        self.last = nn.Sequential(EqualLinear(widths[-1] * 16, widths[-1], activate=True), EqualLinear(widths[-1], 1))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        x = _act(self.from_rgb(image_BCHW.contiguous(memory_format=torch.channels_last)))
        x = self.blocks(x).float()
        deviation = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()
        x = torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], dim=1)
        logits: Tensor = self.last(_act(self.last_conv(x)).flatten(1))
        return logits[:, 0].float()


def _act(x: Tensor) -> Tensor:
    return nn.functional.leaky_relu(x, 0.2) * GAIN
