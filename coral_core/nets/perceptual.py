"""Deep features for perceptual distances, channel-normalised as in LPIPS (Zhang et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coral_core.nets.convnet import ConvPyramid


@dataclass(frozen=True, kw_only=True)
class PerceptualConfig:
    """Sizes of the perceptual network."""

    widths: tuple[int, ...] = (32, 64, 96, 128)  # channels per halved resolution


class Perceptual(nn.Module):
    """[B,3,H,W] in [-1,1] -> maps of unit channel vectors, one per resolution."""

    def __init__(self, config: PerceptualConfig) -> None:
        super().__init__()
        self.config = config
        self.body = ConvPyramid(config.widths)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        return tuple(unit_channels(x.float()) for x in self.body(image_BCHW))


def unit_channels(x_BCHW: Tensor) -> Tensor:
    """Divide every pixel's channel vector by its length (with 1e-10 added under the root, as in LPIPS)."""
    return x_BCHW * torch.rsqrt(x_BCHW.square().sum(1, keepdim=True) + 1e-10)
