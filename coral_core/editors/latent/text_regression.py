"""Where in latent space a text probably points: w as a linear function of the CLIP embedding, over generator samples.

With samples w_i = f(z_i), their images' embeddings e_i and ridge regression of w on e (both centred, w in standard
deviations), a direction d between two texts guesses the latent direction d @ B. No gradient runs through generator or
CLIP, so a guess stays among the latents that the generator was trained on; it is rough, and the same for every image.
Our own; the idea of a map from CLIP residuals to latent residuals is CSLA's (arXiv 2210.04506).
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

GUESS_STEPS = (0.0, 0.35, 0.7, 1.0, 1.4)
"""How far a guess may be followed, in standard deviations of w."""
RIDGE = 0.5
"""Weight of the ridge, in mean variances of an embedding's coordinate."""


@dataclass(frozen=True)
class LatentGuess:
    """Measured on one generator and one CLIP; in standard deviations of w."""

    unit_D: Tensor  # standard deviation of w
    slope_ED: Tensor

    @classmethod
    @torch.no_grad()
    def measured(cls, models: Models, samples: int, precision: Precision) -> LatentGuess:
        """From so many samples, always the same ones."""
        draw = torch.Generator().manual_seed(0)
        z_NZ = torch.randn(samples, models.generator.z_dim, generator=draw).to(models.device)
        found = [_embedded(models, z_BZ, precision) for z_BZ in z_NZ.split(SAMPLE_BATCH)]
        return cls.of(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    @classmethod
    @torch.no_grad()
    def of(cls, w_ND: Tensor, e_NE: Tensor) -> LatentGuess:
        """From latents and the embeddings of their images."""
        w_ND, e_NE = w_ND.double(), e_NE.double()
        unit_D = w_ND.std(0, correction=0).clamp_min(1e-6)
        x_NE, y_ND = e_NE - e_NE.mean(0), (w_ND - w_ND.mean(0)) / unit_D
        return cls(unit_D.float(), ridge(x_NE, y_ND, RIDGE).float())

    def towards(self, direction_BE: Tensor) -> Tensor:
        """The latent direction of each CLIP direction, of root mean square one. [B, D]"""
        guess_BD = direction_BE.float() @ self.slope_ED
        return guess_BD / guess_BD.square().mean(1, keepdim=True).sqrt().clamp_min(1e-9)


def _embedded(models: Models, z_BZ: Tensor, precision: Precision) -> tuple[Tensor, Tensor]:
    """(w_BD, e_BE) of generator samples."""
    ws_BLD = models.generator.map(z_BZ)
    with autocast(z_BZ.device, precision):
        image_BCHW = models.generator.render(models.generator.styles(ws_BLD)).clamp(-1, 1)
        return ws_BLD[:, 0].float(), models.clip.image(image_BCHW).float()
