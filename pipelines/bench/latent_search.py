"""Optimisation of latents: to measure how good an inversion can become, and what CLIP guidance alone reaches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from coral_core.bundle.models import Models
from coral_core.fit import BETAS, ramp
from coral_core.losses import clip_distance
from coral_core.precision import autocast
from coral_core.types import Inversion, Prompt

REFINE_RATE = 0.05
GUIDE_RATE = 0.05
"""Adam's learning rates, in standard deviations of w."""


def refined(models: Models, inversion: Inversion, std_D: Tensor, steps: int) -> Tensor:
    """Images after `steps` steps that minimise the squared error, from the encoder's latents. [B,3,H,W], -1 to 1."""
    return _moved(
        models,
        inversion,
        std_D * REFINE_RATE,
        steps,
        lambda image_BCHW: 100 * (image_BCHW - inversion.image_BCHW).square().mean((1, 2, 3)),
    )


def guided(models: Models, inversion: Inversion, prompt: Prompt, std_D: Tensor, steps: int) -> Tensor:
    """Images after `steps` steps that minimise the CLIP distance to the target text only. [B,3,H,W], -1 to 1."""
    text_1E = models.clip.text([prompt.target])
    return _moved(
        models,
        inversion,
        std_D * GUIDE_RATE,
        steps,
        lambda image_BCHW: clip_distance(models.clip.image(image_BCHW), text_1E),
    )


def latent_std(inversion: Inversion) -> Tensor:
    """Standard deviation of w over a set, [D]. ValueError for fewer than two samples."""
    if len(inversion.keys) < 2:
        raise ValueError("the standard deviation needs two samples or more; give more scenes")
    return inversion.ws_BLD.var(0).mean(0).sqrt()


def _moved(
    models: Models, inversion: Inversion, rate_D: Tensor, steps: int, loss_B: Callable[[Tensor], Tensor]
) -> Tensor:
    """Adam on W+. The networks run in bfloat16, the last image in float32; samples do not influence each other."""
    generator = models.generator
    delta_BLD = torch.zeros_like(inversion.ws_BLD, requires_grad=True)
    optimiser = torch.optim.Adam([delta_BLD], lr=1.0, betas=BETAS)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = ramp((step + 0.5) / steps)
        with autocast(models.device, "bfloat16"):
            image_BCHW = generator.render(generator.styles(inversion.ws_BLD + rate_D * delta_BLD)).clamp(-1, 1)
            loss = loss_B(image_BCHW).sum()
        (delta_BLD.grad,) = torch.autograd.grad(loss, [delta_BLD])
        optimiser.step()
    with torch.no_grad():
        return generator.render(generator.styles(inversion.ws_BLD + rate_D * delta_BLD)).clamp(-1, 1)
