"""Regions that a small network computes from the features of the generator.

Paper: CoralStyleCLIP (arXiv 2303.05031), convolutional attention: m_l = sigmoid(conv(lrelu(conv(f_l)))), f_l the
ORIGINAL features of convolution l, both convolutions 1x1.

Deviation: the input channels are standardised by means and standard deviations of the training source (stored in the
artifact). A 1x1 convolution can represent the same scaling, so the family of functions is the same, but every layer
starts near 0.5 and learns equally fast whatever the scale of its features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.editors.regions.region import Region, plain_features, statistics_source
from coral_core.types import Inversion, Masks

if TYPE_CHECKING:
    from coral_core.bundle.models import Models
    from coral_core.nets.stylegan2 import Generator

HIDDEN = 32


class ConvAttention(Region):
    """One LayerAttention per convolution of the generator."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(LayerAttention(count) for count in channels)

    @classmethod
    def of(cls, models: Models) -> ConvAttention:
        return cls(models.generator.conv_channels)

    def prepare(self, source: Inversion, generator: Generator) -> None:
        features = plain_features(generator, statistics_source(source))
        for layer, feature_BCHW in zip(self.layers, features, strict=True):
            assert isinstance(layer, LayerAttention)
            layer.standardise(feature_BCHW)

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        features = plain_features(generator, inversion.ws_BLD)
        return tuple(layer(feature_BCHW) for layer, feature_BCHW in zip(self.layers, features, strict=True))


class LayerAttention(nn.Module):
    """[B,C,H,W] -> [B,1,H,W] in (0,1), near 0.5 at the start so that both branches of the blend get gradients."""

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
        """Take means and standard deviations of the channels; a channel that does not vary keeps a deviation of 1."""
        std_C, mean_C = torch.std_mean(feature_BCHW.float(), (0, 2, 3), correction=0)
        self.mean_C.copy_(mean_C)
        self.std_C.copy_(torch.where(std_C > 1e-6, std_C, 1.0))
