"""Encoder into W+ after e4e (Tov et al. 2021, arXiv 2102.02766).

As published: three feature taps, a feature pyramid over them, one base w broadcast to all layers plus an offset per
layer, all relative to the generator's average latent; layers 0-2 read the coarse tap, 3-6 the medium one, the rest
the fine one.
Deviations: a plain residual body instead of IR-SE50, taps at 1/2, 1/4 and 1/8 of the input (the embedded domain is
64 px, the published one 256), and one trunk of strided convolutions per tap instead of one per layer, because trunks
per layer would have nine tenths of the parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.nets.convnet import ConvUnit

COARSE, MEDIUM = 3, 4  # number of w-layers from the coarse and from the medium tap; the fine tap gives the rest


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Sizes of an encoder; num_ws and w_dim are those of its generator."""

    image_size: int = 64  # input pixels
    num_ws: int = 10  # w-layers of the generator
    w_dim: int = 192  # width of a w
    widths: tuple[int, int, int, int] = (32, 64, 128, 192)  # channels at 1, 1/2, 1/4, 1/8 of the input
    head_width: int = 64  # channels of a head's last 4x4 map; the base head has twice as many

    def __post_init__(self) -> None:
        if self.image_size < 32 or self.num_ws <= COARSE + MEDIUM:
            raise ValueError(
                f"image_size {self.image_size} with {self.num_ws} w-layers; an encoder needs 32 px and "
                f"{COARSE + MEDIUM + 1} w-layers or more, to have a layer for each of its taps"
            )


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions and a skip; the first may halve the resolution."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvUnit(in_channels, out_channels, stride)
        self.second = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.skip = nn.Sequential(
            nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
            nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.skip(x) + self.second(self.first(x)))


class StyleHead(nn.Module):
    """A feature map [B,C,S,S] -> [B,layers,D] through strided convolutions down to 4x4 and one linear layer."""

    def __init__(self, in_channels: int, size: int, width: int, layers: int, w_dim: int) -> None:
        super().__init__()
        halvings = int(math.log2(size // 4))
        channels = [in_channels] + [width] * max(halvings, 1)
        strides = [2] * halvings or [1]
        self.trunk = nn.Sequential(
            *(ConvUnit(a, b, s) for a, b, s in zip(channels, channels[1:], strides, strict=False))
        )
        self.project = nn.Linear(width * 16, layers * w_dim)
        self.layers, self.w_dim = layers, w_dim

    def forward(self, x: Tensor) -> Tensor:
        flat: Tensor = self.project(self.trunk(x).flatten(1))
        return flat.float().view(-1, self.layers, self.w_dim)


class Encoder(nn.Module):
    """[B,3,R,R] in [-1,1] -> (ws_BLD, taps). Text adapters use `heads` alone, which maps (edited) taps to latents."""

    w_avg: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        full, fine, medium, coarse = config.widths
        self.stem = ConvUnit(3, full)
        self.to_fine = nn.Sequential(ResidualUnit(full, fine, 2), ResidualUnit(fine, fine))
        self.to_medium = nn.Sequential(ResidualUnit(fine, medium, 2), ResidualUnit(medium, medium))
        self.to_coarse = nn.Sequential(ResidualUnit(medium, coarse, 2), ResidualUnit(coarse, coarse))
        self.lateral_medium = nn.Conv2d(medium, coarse, 1)
        self.lateral_fine = nn.Conv2d(fine, coarse, 1)
        size, width = config.image_size // 8, config.head_width
        self.base = StyleHead(coarse, size, 2 * width, 1, config.w_dim)
        self.coarse = StyleHead(coarse, size, width, COARSE, config.w_dim)
        self.medium = StyleHead(coarse, 2 * size, width, MEDIUM, config.w_dim)
        self.fine = StyleHead(coarse, 4 * size, width, config.num_ws - COARSE - MEDIUM, config.w_dim)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    @property
    def tap_channels(self) -> tuple[int, int, int]:
        """Channels of the taps, fine to coarse."""
        _, fine, medium, coarse = self.config.widths
        return fine, medium, coarse

    def body(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Taps [B,.,R/2,R/2], [B,.,R/4,R/4], [B,.,R/8,R/8], fine to coarse."""
        fine = self.to_fine(self.stem(image_BCHW.contiguous(memory_format=torch.channels_last)))
        medium = self.to_medium(fine)
        return fine, medium, self.to_coarse(medium)

    def heads(self, taps: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Taps -> (base [B,1,D], offsets [B,L,D]), both relative to w_avg; their sum is the latent."""
        fine, medium, coarse = taps
        p2 = _upsample(coarse).add_(self.lateral_medium(medium))  # in place: allocating maps of 12 MB a batch is slow
        p1 = _upsample(p2).add_(self.lateral_fine(fine))
        offsets = torch.cat([self.coarse(coarse), self.medium(p2), self.fine(p1)], dim=1)
        return self.base(coarse), offsets

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        taps = self.body(image_BCHW)
        base, offsets = self.heads(taps)
        return self.w_avg + base + offsets, taps


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
