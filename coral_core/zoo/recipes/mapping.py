"""The recipe of the mapping network z -> w, which learns the encoder's latents of the scenes of the domain.

A scene is drawn from independent uniform numbers in [0,1]. Their normal quantiles are the first coordinates of z, and
the mapping network learns the latent that the encoder gives for the scene with these numbers. A value of an attribute
is an interval, with edges to its neighbours, at which the latent jumps. A network that learns from samples interpolates
at the edges, which gives portraits with half a beard. So the first three layers are set, not learned: their outputs say
on which side of every edge z is, and the other layers learn the latents from them. No image is rendered, so a step
takes milliseconds.

Deviation from StyleGAN2 (Karras et al. 2020), whose mapping network is trained by the discriminator only and has no
prescribed meaning of z: here the random numbers of the domain are known.
"""

from __future__ import annotations

import collections.abc
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.bundle.models import load_network
from coral_core.nets.encoder import Encoder
from coral_core.nets.stylegan2 import Generator, Mapping
from coral_core.zoo.portraits.corpus import Corpus
from coral_core.zoo.portraits.domain import SPLITS, sample
from coral_core.zoo.recipes.base import Recipe
from coral_core.zoo.recipes.latent_code import code_numbers, set_edges


class MappingRecipe(Recipe):
    """Trains the mapping network of the shipped generator and writes the generator again."""

    default_steps = 12000
    default_batch_size = 512
    learning_rate = 3.0  # equalised layers with multiplier 0.01 take steps a hundred times smaller than they look
    betas = (0.9, 0.99)
    weight_decay = 0.0

    def build(self) -> None:
        generator = load_network(self.context.weights / "generator.safetensors", "generator")
        encoder = load_network(self.context.weights / "encoder.safetensors", "encoder")
        assert isinstance(generator, Generator) and isinstance(encoder, Encoder)
        self.generator = generator.requires_grad_(False)
        sizes = generator.config
        self.generator.mapping = Mapping(sizes.z_dim, sizes.w_dim, sizes.mapping_layers)
        self.latents_ND, self.dev_latents_ND = (encode_corpus(encoder, c) for c in (self.train_corpus, self.dev_corpus))
        self.numbers_NK2, self.dev_numbers_NK2 = (
            numbers_of_split(name, len(latents))
            for name, latents in (("train", self.latents_ND), ("dev", self.dev_latents_ND))
        )
        set_edges(self.generator.mapping, self.numbers_NK2)
        self.register_buffer("centre", self.latents_ND.mean(0), persistent=False)
        self.register_buffer("spread", self.latents_ND.std(0) + 1e-4, persistent=False)

    def losses(self, rng: np.random.Generator) -> dict[str, Tensor]:
        chosen = rng.integers(0, len(self.latents_ND), self.context.batch_size)
        return {"w": self.error(self.numbers_NK2[chosen], self.latents_ND[chosen], rng)}

    def error(self, numbers_BK2: np.ndarray, latents_BD: Tensor, rng: np.random.Generator) -> Tensor:
        """Mean squared distance to the encoder's latents, in their standard deviations. A scalar."""
        z_BZ = code_numbers(numbers_BK2, self.generator.z_dim, rng).to(self.context.device)
        with torch.autocast(self.context.device.type, enabled=False):
            found_BD = self.generator.mapping(z_BZ)
        return F.mse_loss(self.whiten(found_BD), self.whiten(latents_BD.to(self.context.device)))

    def whiten(self, w_BD: Tensor) -> Tensor:
        return (w_BD - self.centre) / self.spread  # type: ignore[operator]

    def exports(self) -> collections.abc.Mapping[str, tuple[nn.Module, Any]]:
        return {"generator": (self.generator, self.generator.config)}

    def warm_start(self) -> list[str]:
        """As in Recipe, then set the edges again: the shipped mapping network may have none."""
        loaded = super().warm_start()
        set_edges(self.generator.mapping, self.numbers_NK2)
        return loaded

    def metrics(self) -> dict[str, float]:
        rng = np.random.default_rng(0)
        z_NZ = torch.from_numpy(rng.standard_normal((len(self.dev_latents_ND), self.generator.z_dim), dtype=np.float32))
        mapped_ND = self.whiten(self.generator.mapping(z_NZ.to(self.context.device)))
        real_ND = self.whiten(self.dev_latents_ND.to(self.context.device))
        train_ND = self.whiten(self.latents_ND[: len(real_ND)].to(self.context.device))
        return {
            "error": self.error(self.dev_numbers_NK2, self.dev_latents_ND, rng).item(),
            "sliced_distance": sliced_distance(mapped_ND, real_ND).item(),
            "sliced_floor": sliced_distance(train_ND, real_ND).item(),
        }


@torch.no_grad()
def encode_corpus(encoder: Encoder, corpus: Corpus) -> Tensor:
    """The encoder's base latent of each scene, without offsets per layer, [N,D]."""
    parts = [
        encoder.w_avg + encoder.heads(encoder.body(corpus.take(slice(start, start + 128)).image_BCHW))[0][:, 0]
        for start in range(0, len(corpus), 128)
    ]
    return torch.cat(parts)


def numbers_of_split(split: str, count: int) -> np.ndarray:
    """`Scene.numbers` of the first scenes of a split, [N,K,2]."""
    return np.stack([sample(seed).numbers() for seed in SPLITS[split][:count]])


def sliced_distance(a_ND: Tensor, b_ND: Tensor, directions: int = 128) -> Tensor:
    """Sliced Wasserstein-1 distance of two point sets of equal size (Rabin et al. 2011). A scalar."""
    axes = torch.randn(a_ND.shape[1], directions, generator=torch.Generator().manual_seed(0)).to(a_ND.device)
    axes = F.normalize(axes, dim=0)
    return ((a_ND @ axes).sort(0).values - (b_ND @ axes).sort(0).values).abs().mean()
