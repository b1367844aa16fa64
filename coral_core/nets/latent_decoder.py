"""The latent of an image from its CLIP embedding: a small multilayer perceptron beside a linear map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN = 1024


class LatentDecoder(nn.Module):
    """[B,E] CLIP embeddings -> [B,D] latents w, both in standard deviations of the training samples.

    It gives the mean of w over all images with this embedding: what an embedding does not say (where a head stands)
    is averaged, and cancels in the difference of two decoded embeddings.
    """

    centre_E: Tensor
    scale_E: Tensor
    mean_D: Tensor
    std_D: Tensor

    def __init__(self, width: int, w_dim: int) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, w_dim)
        )
        self.linear = nn.Linear(width, w_dim)
        self.register_buffer("centre_E", torch.zeros(width))
        self.register_buffer("scale_E", torch.ones(width))
        self.register_buffer("mean_D", torch.zeros(w_dim))
        self.register_buffer("std_D", torch.ones(w_dim))

    def measure(self, embedding_NE: Tensor, latent_ND: Tensor) -> None:
        """Take the means and scales of the training samples."""
        self.centre_E.copy_(embedding_NE.mean(0))
        self.scale_E.fill_(embedding_NE.std(0).mean())  # one scale: directions without variance stay small
        self.mean_D.copy_(latent_ND.mean(0))
        self.std_D.copy_(latent_ND.std(0))

    def forward(self, embedding_BE: Tensor) -> Tensor:
        """Latents [B,D] in the units of w."""
        return self.normalised(embedding_BE) * self.std_D + self.mean_D

    def normalised(self, embedding_BE: Tensor) -> Tensor:
        """Latents [B,D] in standard deviations from the mean."""
        x_BE = (embedding_BE - self.centre_E) / self.scale_E
        y_BD: Tensor = self.perceptron(x_BE) + self.linear(x_BE)
        return y_BD
