"""Where to change: one soft mask per convolution of the generator.

Paper: CoralStyleCLIP (arXiv 2303.05031). The slot's contract: of(models) makes a region that has learned nothing;
forward(inversion, generator) -> Masks, or None for the whole image; prepare(source, generator) may take statistics of
the training source before a fit. Those that learn are in attention.py and segments.py.
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

CLAIM_SIZE = 16
"""Pixels from which on a layer's mask says where an edit acts; coarser layers only say that it does."""
PREPARE_LEAST, PREPARE_MOST = 4, 64
PREPARE_PIXELS = PREPARE_MOST * 64**2
"""Samples of the training source, and their pixels, for statistics of its features: all maps are in memory at once."""


class Region(nn.Module):
    """Slot: where an edit may act."""

    @classmethod
    def of(cls, models: Models) -> Region:
        """One whose sizes are those of the models, and which has learned nothing yet."""
        return cls()

    def prepare(self, source: Inversion, generator: Generator) -> None:
        """Statistics of the training source, if the region needs any."""

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        raise NotImplementedError


class WholeImage(Region):
    """No masks: the plain edited render."""

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        return None


def statistics_source(source: Inversion) -> Tensor:
    """The latents of the first samples, as many as fit in PREPARE_PIXELS. [B,L,D]"""
    pixels = source.image_BCHW[0, 0].numel()
    return source.ws_BLD[: min(max(PREPARE_PIXELS // pixels, PREPARE_LEAST), PREPARE_MOST)]


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
    return torch.stack([resize(mask_B1HW, size) for mask_B1HW in fine]).amax(0)
