"""The bank: latents and CLIP embeddings of many samples of the generator, from which any text can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from coral_core.inversion import SAMPLE_BATCH
from coral_core.precision import Precision, autocast

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

LEVELS = 255
"""Steps between the smallest and the largest value of a channel, which is stored in 8 bits: an error of at most 1/510
of the channel's range, which is far below its spread over the samples."""


class StoredRows(nn.Module):
    """N rows of C numbers with 8 bits per number, between the extremes of each channel."""

    levels_NC: Tensor
    low_C: Tensor
    step_C: Tensor

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("levels_NC", torch.zeros(count, channels, dtype=torch.uint8))
        self.register_buffer("low_C", torch.zeros(channels))
        self.register_buffer("step_C", torch.ones(channels))

    def store(self, rows_NC: Tensor) -> None:
        """Replace all rows."""
        low_C, high_C = rows_NC.amin(0), rows_NC.amax(0)
        step_C = ((high_C - low_C) / LEVELS).clamp_min(1e-8)
        self.low_C.copy_(low_C)
        self.step_C.copy_(step_C)
        self.levels_NC.copy_(((rows_NC - low_C) / step_C).round().clamp(0, LEVELS).to(torch.uint8))

    def forward(self) -> Tensor:
        """The rows, float32 [N,C]."""
        return self.levels_NC * self.step_C + self.low_C


@torch.no_grad()
def draw_samples(
    models: Models, count: int, seed: int, truncation: float, precision: Precision, progress: Callable[[int], None]
) -> tuple[Tensor, Tensor]:
    """(w_ND, e_NE) of seeded generator samples: the mean over layers of the encoder's latents, and CLIP embeddings.

    `progress` is called with the number of samples done. The samples of a seed do not depend on `count`.
    """
    draw = torch.Generator().manual_seed(seed)
    batch = SAMPLE_BATCH * (16 if models.device.type == "cuda" else 1)
    generator, w_parts, e_parts = models.generator, [], []
    for start in range(0, count, batch):
        z_BZ = torch.randn(min(batch, count - start), generator.z_dim, generator=draw).to(models.device)
        with autocast(models.device, precision):
            image_BCHW = generator.render(generator.styles(generator.map(z_BZ, truncation))).clamp(-1, 1).float()
            ws_BLD, _ = models.encoder(image_BCHW)
            e_parts.append(models.clip.image(image_BCHW).float())
        w_parts.append(ws_BLD.float().mean(1))
        progress(start + len(z_BZ))
    return torch.cat(w_parts), torch.cat(e_parts)
