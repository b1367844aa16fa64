"""A latent discriminator that trains in the same step as the adapter, by gradient reversal (Ganin & Lempitsky 2015)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.nets.layers import EqualLinear

WIDTH = 256


class LatentDiscriminator(nn.Module):
    """Distinguishes edited latents from latents of images. It minimises its loss; the edited latents maximise it,
    because their gradient is reversed.

    The non-saturating GAN loss would need a term of its own; gradient reversal gives the minimax loss of the original
    paper (Goodfellow et al. 2014).
    """

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            EqualLinear(numbers, WIDTH, activate=True), EqualLinear(WIDTH, WIDTH, activate=True), EqualLinear(WIDTH, 1)
        )

    def forward(self, real_BLD: Tensor, edited_BLD: Tensor) -> Tensor:
        """softplus(-D(real)) + softplus(D(edited)). [B]"""
        real_B1, edited_B1 = self.layers(real_BLD.flatten(1)), self.layers(_Reversed.apply(edited_BLD.flatten(1)))
        return (F.softplus(-real_B1) + F.softplus(edited_B1)).float().squeeze(1)


class _Reversed(torch.autograd.Function):
    """The identity function with a negated gradient."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]
