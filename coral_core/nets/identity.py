"""Identity embedding of the person in a portrait, as ArcFace in the published systems."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.nets.convnet import ConvPyramid


@dataclass(frozen=True, kw_only=True)
class IdentityConfig:
    """Sizes of the identity network."""

    widths: tuple[int, ...] = (24, 48, 96, 144, 192)  # channels per halved resolution
    embedding: int = 64  # width of the embedding


class Identity(nn.Module):
    """[B,3,H,W] in [-1,1] -> unit vectors [B,I]; the cosine of two of them is the similarity of the persons."""

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.config = config
        self.body = ConvPyramid(config.widths)
        self.head = nn.Linear(2 * config.widths[-1], config.embedding)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        last = self.body(image_BCHW)[-1].float()
        pooled = torch.cat([last.mean((2, 3)), last.amax((2, 3))], dim=1)
        return F.normalize(self.head(pooled).float(), dim=1)
