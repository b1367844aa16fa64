"""Generator and encoder, trained together: the encoder's latents are the generator's inputs from the first step.

One base w for all layers and penalised offsets per layer. In some samples the offsets are dropped, so that a single w
contains most of a portrait and W+ refines it; latents then suit edits, and the latents of the mapping network render
well. The generator's equalised weights have a learning rate of their own: they start as standard normals, so at the
encoder's rate they would hardly change in a few thousand steps.

Two measures make small features appear early, both by the exact ground truth: pixels are weighted by the rarity of
their segment, and linear layers, which are not exported, must predict every attribute and the position of every segment
from the base w. Without them the encoder does not encode mouths while the generator renders none, and the generator
renders none while they are not encoded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.bundle.models import load_network
from coral_core.nets.encoder import Encoder, EncoderConfig
from coral_core.nets.stylegan2 import Generator, GeneratorConfig
from coral_core.zoo.portraits.attributes import WIDTHS, attribute_loss
from coral_core.zoo.portraits.corpus import CorpusBatch
from coral_core.zoo.portraits.domain import SEGMENTS
from coral_core.zoo.recipes.base import Recipe

GENERATOR_RATE, ENCODER_RATE = 1e-2, 1e-3
OFFSET_DROPOUT = 0.15  # share of samples without offsets
EMA_DECAY = 0.995  # of the exponential moving average that is exported


class AutoencoderRecipe(Recipe):
    """Writes generator and encoder; the `mapping` recipe trains the mapping network."""

    default_steps = 12000
    default_batch_size = 16

    def build(self) -> None:
        self.generator_config = GeneratorConfig()
        self.encoder_config = EncoderConfig()
        self.generator = Generator(self.generator_config)
        self.encoder = Encoder(self.encoder_config)
        self.reader = nn.Linear(self.encoder_config.w_dim, sum(WIDTHS))
        self.locator = nn.Linear(self.encoder_config.w_dim, 3 * len(SEGMENTS))
        self.averaged_generator = copy.deepcopy(self.generator).requires_grad_(False)
        self.averaged_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.perceptual = load_network(self.context.weights / "perceptual.safetensors", "perceptual")

    def make_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        groups = [
            {"params": list(self.generator.parameters()), "lr": GENERATOR_RATE},
            {"params": list(self.encoder.parameters()), "lr": ENCODER_RATE},
            {"params": [*self.reader.parameters(), *self.locator.parameters()], "lr": 3 * ENCODER_RATE},
        ]
        return {"main": torch.optim.Adam(groups, betas=self.betas)}

    def losses(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = self.train_corpus.draw(rng, self.context.batch_size).to(self.context.device)
        base, offsets = self.encoder.heads(self.encoder.body(batch.image_BCHW))
        kept = torch.from_numpy(rng.random(len(base)) >= OFFSET_DROPOUT).to(base.device).view(-1, 1, 1)
        image = self.generator.render(self.generator.styles(self.encoder.w_avg + base + offsets * kept))
        error = (image - batch.image_BCHW) * rarity_weights(batch.labels_BHW).sqrt()
        return {
            "l1": error.abs().mean(),
            "l2": 10.0 * error.square().mean(),
            "perceptual": 0.25 * self.perceptual_distance(image, batch.image_BCHW),
            "offsets": 0.01 * offsets.square().mean() / (base.detach().var() + 1e-3),
            "reader": 0.2 * attribute_loss(self.reader(base[:, 0]), batch),
            "locator": F.mse_loss(self.locator(base[:, 0]).float(), segment_geometry(batch.labels_BHW)),
        }

    def perceptual_distance(self, image: Tensor, truth: Tensor) -> Tensor:
        """Squared distance of unit feature vectors, summed over resolutions, averaged over pixels and samples."""
        with torch.no_grad():
            wanted = self.perceptual(truth)
        maps = zip(self.perceptual(image), wanted, strict=True)
        return torch.stack([(a - b).square().sum(1).mean() for a, b in maps]).sum()

    def step(self, step: int, rng: np.random.Generator) -> dict[str, float]:
        terms = super().step(step, rng)
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        for average, network in zip(self.average, (self.generator, self.encoder), strict=True):
            update_ema(average, network, decay)
        return terms

    @property
    def average(self) -> tuple[Generator, Encoder]:
        """The averaged generator and encoder, which are exported."""
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


def rarity_weights(labels_BHW: Tensor) -> Tensor:
    """Weight of each pixel, [B,1,H,W] with mean 1 over the batch: 1 / sqrt(frequency of its segment), normalised."""
    counts_K = torch.bincount(labels_BHW.flatten(), minlength=len(SEGMENTS)).float()
    weight_B1HW = (1 / counts_K.clamp(min=1).sqrt())[labels_BHW][:, None]
    return weight_B1HW / weight_B1HW.mean()


def segment_geometry(labels_BHW: Tensor) -> Tensor:
    """Centre x, centre y (in [-1,1]; 0 when absent) and square root of the area share of every segment, [B,3K]."""
    shares_BKHW = F.one_hot(labels_BHW, len(SEGMENTS)).permute(0, 3, 1, 2).float()
    area_BK = shares_BKHW.sum((2, 3))
    axis = torch.linspace(-1, 1, labels_BHW.shape[-1], device=labels_BHW.device)
    x_BK = (shares_BKHW.sum(2) * axis).sum(2) / area_BK.clamp(min=1)
    y_BK = (shares_BKHW.sum(3) * axis).sum(2) / area_BK.clamp(min=1)
    return torch.cat([x_BK, y_BK, (area_BK / labels_BHW[0].numel()).sqrt()], dim=1)


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Update an exponential moving average of parameters; buffers are copied."""
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
