"""The latent direction of a text, by a ridge regression of w on CLIP embeddings (`start: regression`, or `guess`).

With samples w_i = f(z_i), their images' embeddings e_i and the slopes B of the ridge regression of w on e (both
centred, w in standard deviations), the estimated latent direction of a direction d between two texts is d @ B. No
gradient through generator or CLIP is used, so the estimate stays near the latents that the generator was trained on;
it is inaccurate, and the same for every image. Our own; the idea of a map from CLIP residuals to latent residuals is
CSLA's (arXiv 2210.04506).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coral_core.editors.latent.regression import ridge
from coral_core.inversion import SAMPLE_BATCH
from coral_core.precision import Precision, autocast

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

STEP_LENGTHS = (0.0, 0.35, 0.7, 1.0, 1.4)
"""The lengths of a start along the estimated direction that are tried, in standard deviations of w."""
RIDGE = 0.5
"""Weight of the ridge, relative to the mean variance of a coordinate of an embedding."""


@dataclass(frozen=True)
class TextRegression:
    """The regression of w on CLIP embeddings for one generator and one CLIP."""

    std_D: Tensor  # standard deviation of w
    slope_ED: Tensor  # in standard deviations of w

    @classmethod
    @torch.no_grad()
    def measure(cls, models: Models, samples: int, precision: Precision) -> TextRegression:
        """From `samples` generator samples, the same ones in every call."""
        draw = torch.Generator().manual_seed(0)
        z_NZ = torch.randn(samples, models.generator.z_dim, generator=draw).to(models.device)
        found = [_latents_and_embeddings(models, z_BZ, precision) for z_BZ in z_NZ.split(SAMPLE_BATCH)]
        return cls.of(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    @classmethod
    @torch.no_grad()
    def of(cls, w_ND: Tensor, e_NE: Tensor) -> TextRegression:
        """From latents and the CLIP embeddings of their images."""
        w_ND, e_NE = w_ND.double(), e_NE.double()
        std_D = w_ND.std(0, correction=0).clamp_min(1e-6)
        x_NE, y_ND = e_NE - e_NE.mean(0), (w_ND - w_ND.mean(0)) / std_D
        return cls(std_D.float(), ridge(x_NE, y_ND, RIDGE).float())

    def latent_direction(self, direction_BE: Tensor) -> Tensor:
        """The latent direction of each CLIP direction, scaled to a root mean square of 1. [B, D]"""
        latent_BD = direction_BE.float() @ self.slope_ED
        return latent_BD / latent_BD.square().mean(1, keepdim=True).sqrt().clamp_min(1e-9)


def _latents_and_embeddings(models: Models, z_BZ: Tensor, precision: Precision) -> tuple[Tensor, Tensor]:
    """(w_BD, e_BE) of generator samples: latents, and the CLIP embeddings of their images."""
    ws_BLD = models.generator.map(z_BZ)
    with autocast(z_BZ.device, precision):
        image_BCHW = models.generator.render(models.generator.styles(ws_BLD)).clamp(-1, 1)
        return ws_BLD[:, 0].float(), models.clip.image(image_BCHW).float()
