from __future__ import annotations

import torch

from coral_core.bundle.models import Models
from coral_core.editors.latent.text_regression import LatentGuess
from coral_core.types import Inversion, Prompt


def test_a_guess_moves_images_towards_the_text(models: Models, inversion: Inversion) -> None:
    guess, generator = LatentGuess.measured(models, 256, "float32"), models.generator
    step_BD = guess.unit_D * guess.towards(models.clip.direction([Prompt("red")] * 4))
    moved_BCHW = generator.render(generator.styles(inversion.ws_BLD + step_BD[:, None])).clamp(-1, 1)
    toward_red = models.clip.text(["red"])
    before, after = (models.clip.image(image) @ toward_red[0] for image in (inversion.recon_BCHW, moved_BCHW))
    assert (after - before).mean() > 0.1


def test_a_guess_has_one_length_and_is_always_the_same(models: Models) -> None:
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    one, other = (LatentGuess.measured(models, 64, "bfloat16") for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(one.slope_ED, other.slope_ED)
    directions_BE = models.clip.direction([Prompt("red"), Prompt("blue")])
    torch.testing.assert_close(one.towards(directions_BE).square().mean(1), torch.ones(2))


def test_the_unit_is_the_deviation_of_w(models: Models) -> None:
    unit_D = LatentGuess.measured(models, 512, "float32").unit_D
    z_NZ = torch.randn(4096, models.generator.z_dim, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(unit_D, models.generator.map(z_NZ)[:, 0].std(0), rtol=0.15, atol=0)


def test_no_direction_is_no_guess(models: Models) -> None:
    assert not LatentGuess.measured(models, 64, "float32").towards(torch.zeros(1, 8)).any()
