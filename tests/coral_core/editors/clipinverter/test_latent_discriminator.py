"""A discriminator that lowers a loss while the edited latents raise it, in the same step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from coral_core.editors.clipinverter.latent_discriminator import LatentDiscriminator

SHAPE = (6, 4, 5)


@pytest.fixture
def discriminator() -> LatentDiscriminator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LatentDiscriminator(SHAPE[1] * SHAPE[2])


def latents(mean: float, count: int = SHAPE[0], seed: int = 0) -> Tensor:
    return mean + torch.randn(count, *SHAPE[1:], generator=torch.Generator().manual_seed(seed))


def score(discriminator: LatentDiscriminator, w_BLD: Tensor) -> Tensor:
    """The logit of each latent for being real. [B]"""
    out: Tensor = discriminator.layers(w_BLD.flatten(1))[:, 0]
    return out


def test_the_loss_is_that_of_a_discriminator_per_sample(discriminator: LatentDiscriminator) -> None:
    real_BLD, edited_BLD = latents(0.5), latents(-0.5, seed=1)
    right_B, wrong_B = torch.sigmoid(score(discriminator, real_BLD)), torch.sigmoid(score(discriminator, edited_BLD))
    torch.testing.assert_close(discriminator(real_BLD, edited_BLD), -right_B.log() - (1 - wrong_B).log())


def test_its_parameters_lower_the_loss_and_edits_raise_it(discriminator: LatentDiscriminator) -> None:
    real_BLD, edited_BLD = latents(0.5), latents(-0.5, seed=1).requires_grad_()
    parameters = list(discriminator.parameters())
    loss = discriminator(real_BLD, edited_BLD).mean()
    to_edited, *to_parameters = torch.autograd.grad(loss, [edited_BLD, *parameters])
    with torch.no_grad():
        fooling_BLD = edited_BLD - 0.05 * to_edited / to_edited.std()
        assert discriminator(real_BLD, fooling_BLD).mean() > loss
        assert score(discriminator, fooling_BLD).mean() > score(discriminator, edited_BLD).mean()
        for parameter, gradient in zip(parameters, to_parameters, strict=True):
            parameter.sub_(1e-3 * gradient)
        assert discriminator(real_BLD, edited_BLD).mean() < loss


def test_only_the_sign_of_an_edits_gradient_is_changed(discriminator: LatentDiscriminator) -> None:
    real_BLD, edited_BLD = latents(0.5), latents(-0.5, seed=1).requires_grad_()
    (reversed_BLD,) = torch.autograd.grad(discriminator(real_BLD, edited_BLD).sum(), edited_BLD)
    plain = torch.nn.functional.softplus(score(discriminator, edited_BLD)).sum()
    (plain_BLD,) = torch.autograd.grad(plain, edited_BLD)
    torch.testing.assert_close(reversed_BLD, -plain_BLD)
    assert plain_BLD.any()


def test_it_learns_to_distinguish_separable_latents(discriminator: LatentDiscriminator) -> None:
    optimiser = torch.optim.Adam(discriminator.parameters(), 2e-3)
    for step in range(40):
        optimiser.zero_grad()
        discriminator(latents(0.6, 32, step), latents(-0.6, 32, 100 + step)).mean().backward()
        optimiser.step()
    real_BLD, edited_BLD = latents(0.6, 200, 998), latents(-0.6, 200, 999)
    assert (score(discriminator, real_BLD) > 0).float().mean() > 0.95
    assert (score(discriminator, edited_BLD) < 0).float().mean() > 0.95
    assert (
        discriminator(real_BLD, edited_BLD).mean() < 0.2 < 2 * math.log(2) < discriminator(edited_BLD, real_BLD).mean()
    )


def test_discriminator_and_edits_learn_in_one_step(discriminator: LatentDiscriminator) -> None:
    """Edited latents that the discriminator recognises at the start have real logits at the end."""
    shift = torch.zeros(SHAPE[1:], requires_grad=True)
    optimiser = torch.optim.Adam([{"params": discriminator.parameters(), "lr": 2e-3}, {"params": [shift], "lr": 0.03}])
    for step in range(60):
        optimiser.zero_grad()
        discriminator(latents(1.0, 32, step), latents(-1.0, 32, 100 + step) + shift).mean().backward()
        optimiser.step()
    assert shift.mean() > 0.8


def test_the_loss_is_float32_under_autocast_too(discriminator: LatentDiscriminator) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        loss_B = discriminator(latents(0.5), latents(-0.5, seed=1))
    assert loss_B.dtype == torch.float32
    torch.testing.assert_close(loss_B, discriminator(latents(0.5), latents(-0.5, seed=1)), rtol=0.05, atol=0.05)
