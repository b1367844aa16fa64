from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.editors.styleclip.directions import (
    DirectionsConfig,
    StyleDirections,
    betas_by_share,
    select_channels,
    style_layers,
)
from coral_core.fit import FitConfig
from coral_core.inversion import take
from coral_core.types import Inversion, Prompt

RED = Prompt("red")


def made(models: Models, source: Inversion, **options: Any) -> StyleDirections:
    editor = StyleDirections(models, DirectionsConfig(**{"images": 2, **options}))
    editor.fit(source, FitConfig())
    return editor


def test_style_layers_are_those_of_the_styles(models: Models, inversion: Inversion) -> None:
    styles = models.generator.styles(inversion.ws_BLD)
    assert [width for width, _ in style_layers(models)] == [style_BC.shape[1] for style_BC in styles]
    assert [is_rgb for _, is_rgb in style_layers(models)][:6] == [False, True, False, False, True, False]


def test_the_kept_channels_are_exactly_those_from_beta_on() -> None:
    relevance_C = torch.tensor([0.1, -0.3, 0.29, 0.3, -0.6, 0.0])
    assert select_channels(relevance_C, 0.3, RED).tolist() == pytest.approx([0, -0.5, 0, 0.5, -1, 0])


def test_betas_keep_shares_of_the_channels_with_relevance() -> None:
    relevance_C = torch.cat([torch.arange(1, 65) / 64, torch.zeros(36)])
    assert [int((relevance_C >= beta).sum()) for beta in betas_by_share(relevance_C)] == [2, 8, 32, 64]
    assert betas_by_share(torch.zeros(4)) == (0.0,)


def test_a_text_direction_that_is_a_channels_relevance_selects_that_channel(
    models: Models, inversion: Inversion
) -> None:
    editor = made(models, inversion, alpha=3.0, beta=0.9)
    direction_E = editor.text_direction(RED)
    others_CE = editor.relevance_CE - (editor.relevance_CE @ direction_E)[:, None] * direction_E
    editor.relevance_CE.copy_(others_CE)
    editor.relevance_CE[17] = direction_E
    offset_C = editor.style_offset(RED)
    assert offset_C.nonzero().tolist() == [[17]]
    assert offset_C[17].item() == pytest.approx(3 * editor.std_C[17].item())


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
    found = [editor._loss(source_BCHW, editor.style_offset(RED), RED) for editor in (free, bound)]
    assert found[0] <= found[1]


def test_to_rgb_channels_can_be_left_out(models: Models, inversion: Inversion) -> None:
    offsets = (
        made(models, inversion, to_rgb=False).style_offset(RED).split([width for width, _ in style_layers(models)])
    )
    moved = [bool(part_C.any()) for part_C in offsets]
    assert moved == [not is_rgb for _, is_rgb in style_layers(models)]


def test_templates_surround_a_text(models: Models) -> None:
    asked: list[str] = []

    class Reading(torch.nn.Module):
        """Records the texts that it embeds."""

        width = models.clip.width

        def text(self, prompts: list[str]) -> torch.Tensor:
            asked.extend(prompts)
            return models.clip.text(["red"] * len(prompts))

    reading = replace(models, clip=Reading().eval())  # type: ignore[arg-type]
    editor = StyleDirections(reading, DirectionsConfig(templates=("a photo of {}", "{} in oil")))
    with pytest.raises(ValueError, match="read the same to CLIP"):
        editor.text_direction(RED)
    assert asked == ["a photo of red", "red in oil", "a photo of a photo", "a photo in oil"]


def test_an_edit_without_any_channel_is_refused(models: Models, inversion: Inversion) -> None:
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
def test_a_fit_reports_its_progress(relevance: str, models: Models, inversion: Inversion) -> None:
    progress: list[tuple[int, int]] = []
    editor = StyleDirections(models, DirectionsConfig(relevance=relevance, images=1))
    editor.fit(inversion, FitConfig(), lambda step, steps, losses: progress.append((step, steps)))
    total = {"samples": len(inversion.keys), "channels": len(editor.std_C)}[relevance]
    assert progress[-1] == (total, total)


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
