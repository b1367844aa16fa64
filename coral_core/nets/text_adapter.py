"""The text-conditioned networks of CLIPInverter (arXiv 2307.08397): CLIPAdapter on taps, CLIPRemapper on styles.

As published (adapter/clipadapter.py and models/stylegan2/model_remapper.py of the official code):
    adapter, per tap:       x <- leaky_relu(norm(conv(pixel_norm(x))) * (1 + exp(g(t))) + b(t))
    remapper, per layer k:  p_k = f_k(t), blended into the layer's latent as (1 - 0.9 lambda_k) w + 0.9 lambda_k p_k,
for the convolutions from 8 px up; the 4 px convolution and all toRGB layers keep w.
Deviations: hidden layers are as wide as their text or latent, which published ones are too (all are 512). What the
adapter computes of a tap before the text comes in is a function of its own, so that many texts share it.

Legend: t_BE text embedding; taps fine to coarse, [B,C,H,W] each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.nets.layers import pixel_norm

GROUPS = 32
"""Of the group norm; fewer where they do not divide a tap's channels."""
SLOPE = 0.01
SHARE = 0.9
"""Of lambda: how much of a layer's latent a lambda of 1 replaces."""


class TapModulation(nn.Module):
    """One tap. The modulated map replaces the tap, there is no skip."""

    def __init__(self, channels: int, text_width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(math.gcd(GROUPS, channels), channels)
        self.gamma = _tap_network(text_width, channels)
        self.beta = _tap_network(text_width, channels)

    def normalised(self, tap_BCHW: Tensor) -> Tensor:
        """What does not depend on the text. [B,C,H,W]"""
        out: Tensor = self.norm(self.conv(pixel_norm(tap_BCHW)))
        return out

    def forward(self, normalised_BCHW: Tensor, t_BE: Tensor) -> Tensor:
        with torch.autocast(t_BE.device.type, enabled=False):  # exp of a text network, which bfloat16 would blur
            scale_BC, shift_BC = 1 + torch.exp(self.gamma(t_BE)), self.beta(t_BE)
        scale_BC, shift_BC = scale_BC.to(normalised_BCHW.dtype), shift_BC.to(normalised_BCHW.dtype)
        return F.leaky_relu(normalised_BCHW * scale_BC[:, :, None, None] + shift_BC[:, :, None, None], SLOPE)


class ClipAdapter(nn.Module):
    """The encoder's taps as a text would have them."""

    def __init__(self, channels: Sequence[int], text_width: int) -> None:
        super().__init__()
        self.taps = nn.ModuleList(TapModulation(count, text_width) for count in channels)

    def normalised(self, taps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What all texts share, tap by tap."""
        pairs = zip(self.taps, taps, strict=True)
        return tuple(each.normalised(tap) for each, tap in pairs if isinstance(each, TapModulation))

    def forward(self, normalised: Sequence[Tensor], t_BE: Tensor) -> tuple[Tensor, ...]:
        return tuple(each(tap, t_BE) for each, tap in zip(self.taps, normalised, strict=True))


class ClipRemapper(nn.Module):
    """t_BE -> one latent per w-layer, [B,L,D]; shares() says how much of each counts."""

    def __init__(self, num_ws: int, w_dim: int, text_width: int, start: float = 0.05) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_layer_network(text_width, w_dim) for _ in range(num_ws - 2))
        self.lambdas = nn.Parameter(torch.full((num_ws - 2,), start))

    def forward(self, t_BE: Tensor) -> Tensor:
        with torch.autocast(t_BE.device.type, enabled=False):
            inner_BLD = torch.stack([layer(t_BE) for layer in self.layers], dim=1)
        return F.pad(inner_BLD, (0, 0, 1, 1))  # no network for the first convolution and for the last toRGB

    def shares(self) -> Tensor:
        """0.9 lambda per convolution; the first keeps its latent."""
        return F.pad(SHARE * self.lambdas, (1, 0))


def _tap_network(text_width: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(text_width, text_width),
        nn.LayerNorm(text_width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(text_width, channels),
    )


def _layer_network(text_width: int, w_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(text_width, w_dim),
        nn.ReLU(),
        nn.Linear(w_dim, w_dim),
        nn.LayerNorm(w_dim),
        nn.ReLU(),
        nn.Linear(w_dim, w_dim),
    )
