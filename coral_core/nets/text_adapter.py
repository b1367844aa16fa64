"""The text-conditioned networks of CLIPInverter (arXiv 2307.08397): CLIPAdapter for taps, CLIPRemapper for styles.
LayerFactors, for an edit that is given, is our own.

As published (adapter/clipadapter.py and models/stylegan2/model_remapper.py of the official code):
    adapter, per tap:       x <- leaky_relu(norm(conv(pixel_norm(x))) * (1 + exp(g(t))) + b(t))
    remapper, per layer k:  p_k = f_k(t), blended into the layer's latent as (1 - 0.9 lambda_k) w + 0.9 lambda_k p_k,
for the convolutions from 8 px up; the 4 px convolution and all toRGB layers keep w.
Deviations: hidden layers are as wide as their text or latent, as in the paper, where all are 512. The part of the
adapter that does not depend on the text is a function of its own, so that it is computed once for many texts.

Letters in names: t_BE text embedding; taps fine to coarse, [B,C,H,W] each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.nets.layers import pixel_norm

GROUPS = 32
"""Groups of the group norm; fewer where 32 does not divide a tap's channels."""
SLOPE = 0.01
"""Negative slope of the leaky ReLUs."""
LAMBDA_SCALE = 0.9
"""Share of a layer's latent that a lambda of 1 replaces."""


class TapModulation(nn.Module):
    """The modulation of one tap. Its output replaces the tap, there is no skip connection."""

    def __init__(self, channels: int, text_width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(math.gcd(GROUPS, channels), channels)
        self.gamma = _tap_network(text_width, channels)
        self.beta = _tap_network(text_width, channels)

    def normalised(self, tap_BCHW: Tensor) -> Tensor:
        """The part that does not depend on the text. [B,C,H,W]"""
        out: Tensor = self.norm(self.conv(pixel_norm(tap_BCHW)))
        return out

    def forward(self, normalised_BCHW: Tensor, t_BE: Tensor) -> Tensor:
        with torch.autocast(t_BE.device.type, enabled=False):  # bfloat16 is too inaccurate for the exp
            scale_BC, shift_BC = 1 + torch.exp(self.gamma(t_BE)), self.beta(t_BE)
        scale_BC, shift_BC = scale_BC.to(normalised_BCHW.dtype), shift_BC.to(normalised_BCHW.dtype)
        return F.leaky_relu(normalised_BCHW * scale_BC[:, :, None, None] + shift_BC[:, :, None, None], SLOPE)


class ClipAdapter(nn.Module):
    """The encoder's taps, modulated by a text."""

    def __init__(self, channels: Sequence[int], text_width: int) -> None:
        super().__init__()
        self.taps = nn.ModuleList(TapModulation(count, text_width) for count in channels)

    def normalised(self, taps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The part of each tap that does not depend on the text."""
        pairs = zip(self.taps, taps, strict=True)
        return tuple(each.normalised(tap) for each, tap in pairs if isinstance(each, TapModulation))

    def forward(self, normalised: Sequence[Tensor], t_BE: Tensor) -> tuple[Tensor, ...]:
        return tuple(each(tap, t_BE) for each, tap in zip(self.taps, normalised, strict=True))


class ClipRemapper(nn.Module):
    """t_BE -> one latent per w-layer, [B,L,D], which blend_weights() weights."""

    def __init__(self, num_ws: int, w_dim: int, text_width: int, start: float = 0.05) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_layer_network(text_width, w_dim) for _ in range(num_ws - 2))
        self.lambdas = nn.Parameter(torch.full((num_ws - 2,), start))

    def forward(self, t_BE: Tensor) -> Tensor:
        with torch.autocast(t_BE.device.type, enabled=False):
            inner_BLD = torch.stack([layer(t_BE) for layer in self.layers], dim=1)
        return F.pad(inner_BLD, (0, 0, 1, 1))  # no network for the first convolution and for the last toRGB

    def blend_weights(self) -> Tensor:
        """0.9 lambda per convolution, [convolutions]; 0 for the first, which keeps its latent."""
        return F.pad(LAMBDA_SCALE * self.lambdas, (1, 0))


class LayerFactors(nn.Module):
    """[..., E] texts -> [..., L] factors of the w-layers for a given edit, all 1 before they are learned. Our own."""

    def __init__(self, text_width: int, num_ws: int) -> None:
        super().__init__()
        self.hidden, self.change = nn.Linear(text_width, text_width), nn.Linear(text_width, num_ws)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    def forward(self, text: Tensor) -> Tensor:
        with torch.autocast(text.device.type, enabled=False):
            factors: Tensor = 1 + self.change(F.leaky_relu(self.hidden(text), SLOPE))
        return factors


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
