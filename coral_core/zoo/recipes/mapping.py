"""z -> w: make the generator's Gaussian input land where the encoder puts real portraits.

Mapped and encoded latents (whitened) are compared along random directions (sliced Wasserstein distance), which brings
mean and covariance in place, and by a small adversary, which tells clusters from a cloud. No image is rendered, so a
step costs milliseconds. The logistic loss and R1 penalty are those of StyleGAN2 (Karras et al. 2020).
"""

from __future__ import annotations

import collections.abc
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.models import load_network
from coral_core.nets.stylegan2 import Generator, Mapping
from coral_core.zoo.corpus import Corpus
from coral_core.zoo.recipes.base import Recipe

R1, SLICED = 4.0, 10.0
"""Weights of the gradient penalty and of the sliced distance."""


class LatentCritic(nn.Module):
    """[B,D] -> logits [B]; sees the spread of the batch in one extra feature."""

    def __init__(self, w_dim: int, width: int = 512) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Linear(w_dim, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)
        )
        self.last = nn.Sequential(nn.Linear(width + 1, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, w_BD: Tensor) -> Tensor:
        x = self.first(w_BD)
        groups = x.view(-1, min(len(x), 8), x.shape[1])
        spread = groups.std(1).mean(1).repeat_interleave(groups.shape[1])[:, None]
        logits: Tensor = self.last(torch.cat([x, spread], dim=1))
        return logits[:, 0]


class MappingRecipe(Recipe):
    """Trains the mapping network inside the shipped generator and writes that generator again."""

    default_steps = 2500
    default_batch_size = 256
    learning_rate = 5e-4
    betas = (0.0, 0.99)
    weight_decay = 0.0

    def build(self) -> None:
        generator = load_network(self.context.weights / "generator.safetensors", "generator")
        assert isinstance(generator, Generator)
        self.generator = generator
        sizes = generator.config
        self.generator.mapping = Mapping(sizes.z_dim, sizes.w_dim, sizes.mapping_layers)
        self.critic = LatentCritic(generator.w_dim)
        encoder = load_network(self.context.weights / "encoder.safetensors", "encoder")
        self.latents_ND = encode_corpus(encoder, self.train_corpus)
        self.dev_latents_ND = encode_corpus(encoder, self.dev_corpus)
        self.register_buffer("centre", self.latents_ND.mean(0), persistent=False)
        self.register_buffer("spread", self.latents_ND.std(0) + 1e-4, persistent=False)

    def make_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        mapping, critic = self.generator.mapping.parameters(), self.critic.parameters()
        return {
            # equalised layers with multiplier 0.01 take steps a hundred times smaller than they look
            "mapping": torch.optim.Adam(mapping, lr=self.learning_rate * 100, betas=self.betas),
            "critic": torch.optim.Adam(critic, lr=self.learning_rate, betas=self.betas),
        }

    def step(self, step: int, rng: np.random.Generator) -> dict[str, float]:
        fake, real = self.whiten(self.mapped(rng)), self.whiten(self.encoded(rng)).requires_grad_()
        logits = self.critic(real)
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        penalty = 0.5 * R1 * slope.square().sum(1).mean()
        critic_loss = F.softplus(self.critic(fake.detach())).mean() + F.softplus(-logits).mean()
        self.descend("critic", critic_loss + penalty, step)
        fooled = F.softplus(-self.critic(fake)).mean()
        sliced = sliced_distance(fake, real.detach(), step)
        self.descend("mapping", fooled + SLICED * sliced, step)
        return {"critic": critic_loss.item(), "mapping": fooled.item(), "sliced": sliced.item()}

    def mapped(self, rng: np.random.Generator) -> Tensor:
        z = rng.standard_normal((self.context.batch_size, self.generator.z_dim), dtype=np.float32)
        out: Tensor = self.generator.mapping(torch.from_numpy(z).to(self.context.device))
        return out

    def encoded(self, rng: np.random.Generator) -> Tensor:
        return self.latents_ND[rng.integers(0, len(self.latents_ND), self.context.batch_size)].to(self.context.device)

    def whiten(self, w_BD: Tensor) -> Tensor:
        return (w_BD - self.centre) / self.spread  # type: ignore[operator]

    def exports(self) -> collections.abc.Mapping[str, tuple[nn.Module, Any]]:
        return {"generator": (self.generator, self.generator.config)}

    def metrics(self) -> dict[str, float]:
        rng = np.random.default_rng(0)
        z = torch.from_numpy(rng.standard_normal((len(self.dev_latents_ND), self.generator.z_dim), dtype=np.float32))
        mapped = self.whiten(self.generator.mapping(z.to(self.context.device)))
        real = self.whiten(self.dev_latents_ND.to(self.context.device))
        floor = self.whiten(self.latents_ND[: len(real)].to(self.context.device))
        distances = {
            "sliced_distance": sliced_distance(mapped, real, 0),
            "sliced_floor": sliced_distance(floor, real, 0),
        }
        return {name: distance.item() for name, distance in distances.items()}


@torch.no_grad()
def encode_corpus(encoder: nn.Module, corpus: Corpus, most: int = 16384) -> Tensor:
    """The mean over layers of each scene's latents, [N,D]."""
    parts = [
        encoder(corpus.take(slice(start, start + 128)).image_BCHW)[0].mean(1)
        for start in range(0, min(len(corpus), most), 128)
    ]
    return torch.cat(parts)


def sliced_distance(a_ND: Tensor, b_ND: Tensor, seed: int, directions: int = 128) -> Tensor:
    """Sliced Wasserstein-1 distance of two equally large point sets (Rabin et al. 2011), differentiable."""
    axes = torch.randn(a_ND.shape[1], directions, generator=torch.Generator().manual_seed(seed)).to(a_ND.device)
    axes = F.normalize(axes, dim=0)
    return ((a_ND @ axes).sort(0).values - (b_ND @ axes).sort(0).values).abs().mean()
