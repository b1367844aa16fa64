"""Generator and encoder, trained together: the encoder's latents are the generator's inputs from the first step.

One base w for all layers and small penalised offsets per layer. In half of the samples the offsets are dropped, so that
a single w already tells everything about a portrait and W+ only refines it; edits then live in a well-behaved space.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coral_core.models import load_network
from coral_core.nets.encoder import Encoder, EncoderConfig
from coral_core.nets.stylegan2 import Generator, GeneratorConfig
from coral_core.zoo.corpus import CorpusBatch
from coral_core.zoo.recipes.base import Recipe

AVERAGE_DECAY = 0.995  # of the exponential moving average that is exported


class AutoencoderRecipe(Recipe):
    """Writes generator and encoder; the mapping network comes from the `mapping` recipe."""

    default_steps = 3000
    default_batch_size = 16
    weight_decay = 0.0

    def build(self) -> None:
        self.generator_config = GeneratorConfig()
        self.encoder_config = EncoderConfig()
        self.generator = Generator(self.generator_config)
        self.encoder = Encoder(self.encoder_config)
        self.averaged_generator = copy.deepcopy(self.generator).requires_grad_(False)
        self.averaged_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.perceptual = load_network(self.context.weights / "perceptual.safetensors", "perceptual")

    def losses(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = self.train_corpus.draw(rng, self.context.batch_size).to(self.context.device)
        base, offsets = self.encoder.heads(self.encoder.body(batch.image_BCHW))
        kept = torch.from_numpy(rng.random(len(base)) < 0.5).to(base.device).view(-1, 1, 1)
        ws_BLD = self.encoder.w_avg + base + offsets * kept
        image = self.generator.render(self.generator.styles(ws_BLD))
        return self.reconstruction(image, batch) | {
            "offsets": 0.1 * offsets.square().mean() / (base.detach().var() + 1e-3),
            "size": 1e-3 * base.square().mean(),
        }

    def reconstruction(self, image: Tensor, batch: CorpusBatch) -> dict[str, Tensor]:
        """L1, L2 and perceptual distance."""
        error = image - batch.image_BCHW
        with torch.no_grad():
            wanted = self.perceptual(batch.image_BCHW)
        deep = [(a - b).square().sum(1).mean() for a, b in zip(self.perceptual(image), wanted, strict=True)]
        return {
            "l1": error.abs().mean(),
            "l2": 3.0 * error.square().mean(),
            "perceptual": 0.25 * torch.stack(deep).sum(),
        }

    def step(self, step: int, rng: np.random.Generator) -> dict[str, float]:
        terms = super().step(step, rng)
        decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
        for average, network in zip(self.average, (self.generator, self.encoder), strict=True):
            average_into(average, network, decay)
        return terms

    @property
    def average(self) -> tuple[Generator, Encoder]:
        """The averaged pair, which is what gets exported."""
        return self.averaged_generator, self.averaged_encoder

    def exports(self) -> Mapping[str, tuple[nn.Module, Any]]:
        generator, encoder = self.average
        recentre(generator, encoder, self.train_corpus.take(slice(0, 512)))
        return {"generator": (generator, self.generator_config), "encoder": (encoder, self.encoder_config)}

    def warm_start(self) -> list[str]:
        loaded = super().warm_start()
        for average, network in zip(self.average, (self.generator, self.encoder), strict=True):
            network.load_state_dict(average.state_dict())
        return loaded

    def metrics(self) -> dict[str, float]:
        batch = self.dev_corpus.take(slice(0, 512)).to(self.context.device)
        generator, encoder = self.average
        base, offsets = encoder.heads(encoder.body(batch.image_BCHW))
        single = generator.render(generator.styles((encoder.w_avg + base).expand(-1, generator.num_ws, -1)))
        full = generator.render(generator.styles(encoder.w_avg + base + offsets))
        return {"psnr": psnr(full, batch.image_BCHW), "psnr_single_w": psnr(single, batch.image_BCHW)}


@torch.no_grad()
def average_into(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of parameters; buffers are copied."""
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.data.lerp_(value, 1 - decay)
    for mean_buffer, buffer in zip(average.buffers(), network.buffers(), strict=True):
        mean_buffer.copy_(buffer)


@torch.no_grad()
def recentre(generator: Generator, encoder: Encoder, batch: CorpusBatch) -> None:
    """Move the mean of the base latents from the base head's bias into w_avg; no latent changes."""
    encoder.eval()
    base, _ = encoder.heads(encoder.body(batch.image_BCHW.to(encoder.w_avg.device)))
    mean = base.mean((0, 1))
    encoder.base.project.bias.sub_(mean)
    encoder.w_avg.add_(mean)
    generator.w_avg.copy_(encoder.w_avg)


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, averaged over images; range [-1,1]."""
    error = (image.clamp(-1, 1) - truth).square().mean((1, 2, 3)) / 4
    return (-10 * error.log10()).mean().item()
