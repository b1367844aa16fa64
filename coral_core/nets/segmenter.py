"""Semantic segmentation with a small U-Net (Ronneberger et al. 2015), for editors that select segments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.nets.convnet import ConvPyramid, ConvUnit


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """Sizes of the segmentation network."""

    segments: tuple[str, ...] = ("background", "foreground")  # names of the K classes, in label order
    widths: tuple[int, ...] = (24, 48, 72, 96)  # channels per halved resolution


class Segmenter(nn.Module):
    """[B,3,H,W] in [-1,1] -> logits [B,K,H,W]."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        self.segments = config.segments
        self.body = ConvPyramid(config.widths)
        pairs = list(zip(config.widths[::-1], config.widths[-2::-1], strict=False))
        self.merges = nn.ModuleList(ConvUnit(deep + shallow, shallow) for deep, shallow in pairs)
        self.head = nn.Conv2d(config.widths[0], len(config.segments), 1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        *skips, x = self.body(image_BCHW)
        for merge, skip in zip(self.merges, reversed(skips), strict=True):
            x = merge(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], dim=1))
        logits: Tensor = self.head(x)
        return logits.float()
