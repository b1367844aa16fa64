"""The region slot: one soft mask per convolution of the generator.

Paper: CoralStyleCLIP (arXiv 2303.05031). Interface of a region: of(models) makes one that is not fitted;
forward(inversion, generator) -> Masks, or None for the whole image; prepare(source, generator) may take statistics of
the training source before a fit. Regions with parameters are in attention.py and segments.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from coral_core.ops.resize import resize
from coral_core.types import Inversion, Masks

if TYPE_CHECKING:
    from coral_core.bundle.models import Models
    from coral_core.nets.stylegan2 import Generator

IMAGE_MASK_MIN_SIZE = 16
"""Pixels per side from which a layer's mask counts for the mask of the image; coarser masks are too imprecise."""
SATURATION = 4
"""Slope of the masks of edits around the value 1/2: with soft masks, a pixel is a mixture of source and edit."""
STATISTICS_MIN_SAMPLES, STATISTICS_MAX_SAMPLES = 4, 64
STATISTICS_PIXELS = STATISTICS_MAX_SAMPLES * 64**2
"""Samples of the training source that statistics of features use, and their total number of pixels. It is limited
because the feature maps of all of them are in memory at once."""


class Region(nn.Module):
    """Base class of region slots: where an edit may act."""

    @classmethod
    def of(cls, models: Models) -> Region:
        """A region that is not fitted, with the sizes of the models."""
        return cls()

    def prepare(self, source: Inversion, generator: Generator) -> None:
        """Take statistics of the training source, if the region needs any."""

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        raise NotImplementedError


class WholeImage(Region):
    """No masks: the plain edited render."""

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        return None


def statistics_source(source: Inversion) -> Tensor:
    """The latents of the first samples, as many as fit in PREPARE_PIXELS. [B,L,D]"""
    pixels = source.image_BCHW[0, 0].numel()
    return source.ws_BLD[: min(max(STATISTICS_PIXELS // pixels, STATISTICS_MIN_SAMPLES), STATISTICS_MAX_SAMPLES)]


@torch.no_grad()
def plain_features(generator: Generator, ws_BLD: Tensor) -> list[Tensor]:
    """The output [B, C_l, H_l, W_l] of every convolution in the unedited render."""
    features: list[Tensor] = []
    generator.render(generator.styles(ws_BLD), features=features)
    return features


def saturated(masks: Masks) -> Masks:
    """The masks with a border a quarter as soft: 0 up to 3/8, 1 from 5/8 on, linear in between."""
    return tuple((SATURATION * (mask_B1HW - 0.5) + 0.5).clamp(0, 1) for mask_B1HW in masks)


def image_mask(masks: Masks, size: int) -> Tensor:
    """The mask of the image: maximum over the layer masks of 16 px and finer, enlarged bilinearly. [B,1,size,size].

    When all layers are below 16 px, the mask of the finest one.
    """
    fine = [mask_B1HW for mask_B1HW in masks if mask_B1HW.shape[-1] >= IMAGE_MASK_MIN_SIZE] or [masks[-1]]
    return torch.stack([resize(mask_B1HW, size) for mask_B1HW in fine]).amax(0)
