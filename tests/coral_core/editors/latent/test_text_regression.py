from __future__ import annotations

import torch

from coral_core.bundle.models import Models
from coral_core.editors.latent.text_regression import TextRegression
from coral_core.types import Inversion, Prompt


def test_the_latent_direction_moves_images_towards_the_text(models: Models, inversion: Inversion) -> None:
    regression, generator = TextRegression.measure(models, 256, "float32"), models.generator
    step_BD = regression.std_D * regression.latent_direction(models.clip.direction([Prompt("red")] * 4))
    moved_BCHW = generator.render(generator.styles(inversion.ws_BLD + step_BD[:, None])).clamp(-1, 1)
    toward_red = models.clip.text(["red"])
    before, after = (models.clip.image(image) @ toward_red[0] for image in (inversion.recon_BCHW, moved_BCHW))
    assert (after - before).mean() > 0.1


def test_the_latent_direction_is_normalised_and_repeatable(models: Models) -> None:
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    one, other = (TextRegression.measure(models, 64, "bfloat16") for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(one.slope_ED, other.slope_ED)
    directions_BE = models.clip.direction([Prompt("red"), Prompt("blue")])
    torch.testing.assert_close(one.latent_direction(directions_BE).square().mean(1), torch.ones(2))


def test_std_is_the_standard_deviation_of_w(models: Models) -> None:
    std_D = TextRegression.measure(models, 512, "float32").std_D
    z_NZ = torch.randn(4096, models.generator.z_dim, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(std_D, models.generator.map(z_NZ)[:, 0].std(0), rtol=0.15, atol=0)


def test_a_zero_direction_gives_a_zero_latent_direction(models: Models) -> None:
    assert not TextRegression.measure(models, 64, "float32").latent_direction(torch.zeros(1, 8)).any()
