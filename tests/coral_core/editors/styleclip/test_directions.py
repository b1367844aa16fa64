from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.editors.styleclip.directions import DirectionsConfig, StyleDirections, entries, selected, shares
from coral_core.fit import FitConfig
from coral_core.inversion import take
from coral_core.types import Inversion, Prompt

RED = Prompt("red")


def made(models: Models, source: Inversion, **options: Any) -> StyleDirections:
    editor = StyleDirections(models, DirectionsConfig(**{"images": 2, **options}))
    editor.fit(source, FitConfig())
    return editor


def test_entries_are_those_of_the_styles(models: Models, inversion: Inversion) -> None:
    styles = models.generator.styles(inversion.ws_BLD)
    assert [width for width, _ in entries(models)] == [style_BC.shape[1] for style_BC in styles]
    assert [is_rgb for _, is_rgb in entries(models)][:6] == [False, True, False, False, True, False]


def test_the_kept_channels_are_exactly_those_from_beta_on() -> None:
    rating_C = torch.tensor([0.1, -0.3, 0.29, 0.3, -0.6, 0.0])
    assert selected(rating_C, 0.3, RED).tolist() == pytest.approx([0, -0.5, 0, 0.5, -1, 0])


def test_betas_keep_shares_of_the_channels_that_have_a_rating() -> None:
    rating_C = torch.cat([torch.arange(1, 65) / 64, torch.zeros(36)])
    assert [int((rating_C >= beta).sum()) for beta in shares(rating_C)] == [2, 8, 32, 64]
    assert shares(torch.zeros(4)) == (0.0,)


def test_a_text_direction_that_is_a_channels_relevance_selects_that_channel(
    models: Models, inversion: Inversion
) -> None:
    editor = made(models, inversion, alpha=3.0, beta=0.9)
    direction_E = editor.text_direction(RED)
    others_CE = editor.relevance_CE - (editor.relevance_CE @ direction_E)[:, None] * direction_E
    editor.relevance_CE.copy_(others_CE)
    editor.relevance_CE[17] = direction_E
    move_C = editor.move(RED)
    assert move_C.nonzero().tolist() == [[17]]
    assert move_C[17].item() == pytest.approx(3 * editor.std_C[17].item())


@pytest.mark.parametrize("relevance", ["samples", "channels"])
def test_images_move_towards_their_text(relevance: str, models: Models, inversion: Inversion) -> None:
    editor = made(models, inversion, relevance=relevance)
    toward_red = models.clip.text(["red"])[0]
    images = [editor.edit(inversion, [RED] * 4, strength=strength).image_BCHW for strength in (0.0, 0.5, 1.0)]
    redness = [(models.clip.image(image) @ toward_red).mean() for image in images]
    assert redness[0] < redness[1] < redness[2]


def test_a_choice_of_fewer_options_is_no_better(models: Models, inversion: Inversion) -> None:
    source_BCHW = inversion.recon_BCHW[torch.arange(16) % 4]
    free, bound = made(models, inversion), made(models, inversion, alpha=8.0)
    found = [editor._loss(source_BCHW, editor.move(RED), RED) for editor in (free, bound)]
    assert found[0] <= found[1]


def test_to_rgb_may_stay_out(models: Models, inversion: Inversion) -> None:
    moves = made(models, inversion, to_rgb=False).move(RED).split([width for width, _ in entries(models)])
    moved = [bool(part_C.any()) for part_C in moves]
    assert moved == [not is_rgb for _, is_rgb in entries(models)]


def test_templates_surround_a_text(models: Models) -> None:
    asked: list[str] = []

    class Reading(torch.nn.Module):
        """Says what it was asked."""

        width = models.clip.width

        def text(self, prompts: list[str]) -> torch.Tensor:
            asked.extend(prompts)
            return models.clip.text(["red"] * len(prompts))

    reading = replace(models, clip=Reading().eval())  # type: ignore[arg-type]
    editor = StyleDirections(reading, DirectionsConfig(templates=("a photo of {}", "{} in oil")))
    with pytest.raises(ValueError, match="read the same to CLIP"):
        editor.text_direction(RED)
    assert asked == ["a photo of red", "red in oil", "a photo of a photo", "a photo in oil"]


def test_what_would_move_nothing_is_refused(models: Models, inversion: Inversion) -> None:
    with pytest.raises(ValueError, match=r"red.*beta 5 keeps no channel.*give a smaller beta"):
        made(models, inversion, beta=5.0).edit(inversion, [RED] * 4)
    with pytest.raises(ValueError, match="keeps no channel"):
        StyleDirections(models, DirectionsConfig()).edit(inversion, [RED] * 4)
    with pytest.raises(ValueError, match="nothing to edit; change one"):
        made(models, inversion).edit(inversion, [Prompt("red", "red")] * 4)


def test_a_source_without_spread_is_refused(models: Models, inversion: Inversion) -> None:
    with pytest.raises(ValueError, match="1 sample has none"):
        made(models, take(inversion, slice(0, 1)))


def test_a_fit_draws_nothing_and_gives_the_same_bits(models: Models, inversion: Inversion) -> None:
    state = torch.random.get_rng_state()
    one, other = (made(models, inversion).state_dict() for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("relevance", ["samples", "channels"])
def test_a_fit_tells_how_far_it_is(relevance: str, models: Models, inversion: Inversion) -> None:
    told: list[tuple[int, int]] = []
    editor = StyleDirections(models, DirectionsConfig(relevance=relevance, images=1))
    editor.fit(inversion, FitConfig(), lambda step, steps, losses: told.append((step, steps)))
    total = {"samples": len(inversion.keys), "channels": len(editor.std_C)}[relevance]
    assert told[-1] == (total, total)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevance": "channel"}, "relevance is 'channel'; choose one of samples, channels"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"images": 0}, "images is 0; give 1 or more"),
        ({"templates": ()}, r"templates is \[\]; give sentences with one {} each"),
        ({"templates": ("a photo",)}, r"templates is \['a photo'\]"),
    ],
)
def test_impossible_configs_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DirectionsConfig(**change)
