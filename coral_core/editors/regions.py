"""Where to change: one soft mask per convolution of the generator.

Paper: CoralStyleCLIP (arXiv 2303.05031). The slot's contract: forward(inversion, generator) -> Masks, or None for the
whole image; prepare(source, generator) may take statistics of the training source before a fit.

Deviations: the attention's input channels are standardised by means and deviations of the training source (kept in the
artifact). It is the same family of functions, since a 1x1 convolution absorbs it, but every layer starts near one half
and learns at one pace, whatever the scale of its features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.types import Inversion, Masks

if TYPE_CHECKING:
    from coral_core.nets.stylegan2 import Generator

CLAIM_SIZE = 16
"""Pixels from which on a layer's mask says where an edit acts; coarser layers only say that it does."""
HIDDEN = 32
PREPARE_SAMPLES = 64


class Region(nn.Module):
    """Slot: where an edit may act."""

    def prepare(self, source: Inversion, generator: Generator) -> None:
        """Statistics of the training source, if the region needs any."""

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        raise NotImplementedError


class WholeImage(Region):
    """No masks: the plain edited render."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        return None


class ConvAttention(Region):
    """m_l = sigmoid(conv(lrelu(conv(f_l)))), f_l the ORIGINAL features of convolution l, both convolutions 1x1."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(LayerAttention(count) for count in channels)

    def prepare(self, source: Inversion, generator: Generator) -> None:
        features = plain_features(generator, source.ws_BLD[:PREPARE_SAMPLES])
        for layer, feature_BCHW in zip(self.layers, features, strict=True):
            assert isinstance(layer, LayerAttention)
            layer.standardise(feature_BCHW)

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        features = plain_features(generator, inversion.ws_BLD)
        return tuple(layer(feature_BCHW) for layer, feature_BCHW in zip(self.layers, features, strict=True))


class LayerAttention(nn.Module):
    """[B,C,H,W] -> [B,1,H,W] in (0,1), near one half at the start so that both branches of the blend learn."""

    mean_C: Tensor
    std_C: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("std_C", torch.ones(channels))
        self.reduce = nn.Conv2d(channels, HIDDEN, 1)
        self.select = nn.Conv2d(HIDDEN, 1, 1)
        nn.init.zeros_(self.select.bias)  # type: ignore[arg-type]

    def forward(self, feature_BCHW: Tensor) -> Tensor:
        shape = (1, -1, 1, 1)
        standard_BCHW = (feature_BCHW - self.mean_C.view(shape)) / self.std_C.view(shape)
        return torch.sigmoid(self.select(F.leaky_relu(self.reduce(standard_BCHW), 0.2)).float())

    def standardise(self, feature_BCHW: Tensor) -> None:
        """Measure the channels; a dead one keeps a deviation of one."""
        std_C, mean_C = torch.std_mean(feature_BCHW.float(), (0, 2, 3), correction=0)
        self.mean_C.copy_(mean_C)
        self.std_C.copy_(torch.where(std_C > 1e-6, std_C, 1.0))


@torch.no_grad()
def plain_features(generator: Generator, ws_BLD: Tensor) -> list[Tensor]:
    """The unedited pass: the output of every convolution."""
    features: list[Tensor] = []
    generator.render(generator.styles(ws_BLD), features=features)
    return features


def claimed(masks: Masks, size: int) -> Tensor:
    """Maximum over the masks of 16 px and finer, bilinearly enlarged. [B,1,size,size].

    A generator below 16 px claims with its finest layer.
    """
    fine = [mask_B1HW for mask_B1HW in masks if mask_B1HW.shape[-1] >= CLAIM_SIZE] or [masks[-1]]
    enlarged = [F.interpolate(mask_B1HW, (size, size), mode="bilinear", align_corners=False) for mask_B1HW in fine]
    return torch.stack(enlarged).amax(0)
