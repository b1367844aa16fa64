"""CLIPInverter's fit: two stages, captions of other images, the cycle edit, and a discriminator that is not stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from coral_core import losses
from coral_core.bundle.models import Models
from coral_core.editors.clipinverter.clipinverter import ClipInverter
from coral_core.editors.clipinverter.config import ClipInverterConfig
from coral_core.fit import FitConfig, Progress
from coral_core.inversion import invert, take
from coral_core.precision import Precision
from coral_core.types import Inversion, Prompt
from tests.coral_core.editors.small_editors import WEIGHTS


def build(models: Models, **options: float) -> ClipInverter:
    """An editor that is not fitted, the same in every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ClipInverter(models, ClipInverterConfig(start="regression", **{**WEIGHTS, **options}))  # type: ignore[arg-type]


def train(
    editor: ClipInverter, source: Inversion, size: int = 4, steps: int = 11, progress: Progress | None = None
) -> dict[str, Tensor]:
    """A fit of which one step in 11 is the remapper's."""
    config = FitConfig(steps=steps, batch_size=size, settle=0.0, precision="float32")
    editor.fit(source, config, progress)
    return kept(editor)


def kept(editor: ClipInverter) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in editor.state_dict().items()}


def test_the_adapter_learns_first_and_the_remapper_alone_after_it(models: Models, inversion: Inversion) -> None:
    editor, states = build(models), list[dict[str, Tensor]]()
    before = kept(editor)
    train(editor, inversion, steps=22, progress=lambda *_: states.append(kept(editor)))
    for part, learning in (("adapter", range(20)), ("remapper", range(20, 22))):
        names = [name for name, _ in editor.named_parameters() if name.startswith(part)]
        for step, (last, now) in enumerate(zip([before, *states], states, strict=False)):
            moved = [not torch.equal(last[name], now[name]) for name in names]
            assert all(moved) if step in learning else not any(moved), (part, step)


def test_a_source_without_captions_is_refused(models: Models, inversion: Inversion) -> None:
    for captions in ((), (("red",), (), ("blue",), ("red",))):
        with pytest.raises(ValueError, match="fit it on captioned images, each with one or more"):
            train(build(models), replace(inversion, captions=captions))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_fit_lowers_the_clip_loss(
    precision: Precision, models: Models, make_inversion: Callable[..., Inversion]
) -> None:
    editor, source, red = build(models), make_inversion(models, 12), [Prompt("red")] * 12
    editor.fit(source, FitConfig(steps=40, batch_size=4, settle=0.0, precision=precision))
    before, after = (
        (models.clip.image(image_BCHW) * models.clip.text(["red"])).sum(1).mean()
        for image_BCHW in (source.recon_BCHW, editor.edit(source, red).image_BCHW)
    )
    assert after - before > 0.1


@pytest.mark.parametrize("adversarial", [0.0, 1.0])
def test_equal_fits_are_equal_to_the_bit(adversarial: float, models: Models, inversion: Inversion) -> None:
    first, second = (train(build(models, adversarial=adversarial), inversion, size=2) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_batch_of_one_is_edited_to_captions_of_other_images(models: Models, inversion: Inversion) -> None:
    editor = build(models, cycle=0.0, directional_enough=1.0, remapping=0.0, own_captions=True)
    train(editor, inversion, size=1)
    one, stage = take(inversion, slice(1, 2)), editor.stages()[0]  # its caption is "red", as every third one is
    terms = [editor.losses(one, stage)["directional"].item() for _ in range(120)]
    own, equal = (sum(term == value for term in terms) / 120 for value in (0.0, 4.0))  # 4: from red to another's red
    assert 0.15 < own < 0.35
    assert 0.15 < equal < 0.35
    seen_1E, red_1E = models.clip.image(one.recon_BCHW), models.clip.text(["red"])
    wanted = []
    for text in ("blue", "a photo"):
        edit_1E = models.clip.image(editor.edit(one, [Prompt(text, "")]).image_BCHW)
        wanted.append(4 * losses.clip_directional(edit_1E, seen_1E, models.clip.text([text]) - red_1E).item())
    led = [term for term in terms if term not in (0.0, 4.0)]
    assert all(any(term == pytest.approx(value, rel=1e-4) for value in wanted) for term in led)
    assert all(any(term == pytest.approx(value, rel=1e-4) for term in led) for value in wanted)


def test_the_discriminator_learns_has_an_effect_and_is_not_stored(models: Models, inversion: Inversion) -> None:
    plain, judged = build(models), build(models, adversarial=1.0)
    discriminators: list[list[Tensor]] = []

    def watch(*_: object) -> None:
        own = {id(parameter) for parameter in judged.parameters()}
        trained = [parameter for group in judged.stages()[0].groups for parameter in group.parameters]
        discriminators.append([parameter.detach().clone() for parameter in trained if id(parameter) not in own])

    first, second = train(plain, inversion), train(judged, inversion, progress=watch)
    assert first.keys() == second.keys()
    assert [name for name, _ in plain.named_parameters()] == [name for name, _ in judged.named_parameters()]
    assert discriminators[0]
    assert not any(torch.equal(a, b) for a, b in zip(discriminators[0], discriminators[9], strict=True))
    assert all(not torch.equal(first[name], second[name]) for name in first if name.startswith("adapter."))
    assert "adversarial" in judged.losses(inversion, judged.stages()[0])


@pytest.mark.parametrize("adversarial", [0.0, 1.0])
def test_the_cycle_has_every_term_of_the_forward_edit(adversarial: float, models: Models, inversion: Inversion) -> None:
    names = {"directional", "clip", "identity", "perceptual", "l2", "norm"} | (
        {"adversarial"} if adversarial else set()
    )
    for cycle in (0.0, 1.0):
        editor = build(models, adversarial=adversarial, cycle=cycle)
        editor.prepare(inversion)
        terms = editor.losses(inversion, editor.stages()[0])
        assert set(terms) == names | ({f"cycle_{name}" for name in names} if cycle else set())


def test_losses_are_the_weighted_formulas(models: Models, inversion: Inversion) -> None:
    """With one caption for all images, the random captions are known."""
    weights = {"clip": 2.0, "identity": 3.0, "perceptual": 5.0, "l2": 7.0, "norm": 11.0, "cycle": 13.0}
    second = {"remapper_clip": 17.0, "remapper_identity": 19.0, "remapper_perceptual": 23.0, "remapper_l2": 29.0}
    editor = build(models, **weights, **second, clip_enough=0.95)
    source = replace(inversion, captions=(("red",),) * 4)
    editor.prepare(source)
    red, recon_BCHW, text_1E = [Prompt("red")] * 4, source.recon_BCHW, models.clip.text(["red"])

    def edited(batch: Inversion, remapping: float) -> Tensor:
        editor.config = replace(editor.config, remapping=remapping)
        return editor.edit(batch, red).image_BCHW

    def hinge(image_BCHW: Tensor) -> Tensor:
        return (0.95 - (models.clip.image(image_BCHW) * text_1E).sum(1)).clamp_min(0)

    def unlike(image_BCHW: Tensor) -> Tensor:
        return 1 - (models.identity(image_BCHW) * models.identity(recon_BCHW)).sum(1)

    def deep(image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        return losses.perceptual(models.perceptual(image_BCHW), models.perceptual(other_BCHW))

    def square(image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        return (image_BCHW - other_BCHW).square().mean((1, 2, 3))

    with torch.no_grad():
        there_BCHW, remapped_BCHW = edited(source, 0.0), edited(source, 1.0)
        back_BCHW = edited(invert(models, source.keys, there_BCHW), 0.0)
        first, last = (editor.losses(source, stage) for stage in editor.stages())
        expected = {
            "clip": 2 * hinge(there_BCHW),
            "identity": 3 * unlike(there_BCHW),
            "perceptual": 5 * deep(there_BCHW, recon_BCHW),
            "l2": 7 * square(there_BCHW, recon_BCHW),
            "cycle_clip": 13 * 2 * hinge(back_BCHW),
            "cycle_identity": 13 * 3 * unlike(back_BCHW),
            "cycle_perceptual": 13 * 5 * deep(back_BCHW, recon_BCHW),
            "cycle_l2": 13 * 7 * square(back_BCHW, recon_BCHW),
        }
        expected_last = {
            "clip": 17 * 2 * hinge(remapped_BCHW),
            "identity": 19 * unlike(remapped_BCHW),
            "perceptual": 23 * (deep(remapped_BCHW, recon_BCHW) + 0.35 * deep(remapped_BCHW, there_BCHW)),
            "l2": 29 * (square(remapped_BCHW, recon_BCHW) + 0.35 * square(remapped_BCHW, there_BCHW)),
        }
    for found, wanted in ((first, expected), (last, expected_last)):
        for name, value_B in wanted.items():
            assert value_B.mean() > 0
            torch.testing.assert_close(found[name], value_B.mean())


def test_the_norm_is_the_distance_to_the_average_latent(models: Models, inversion: Inversion) -> None:
    models.generator.w_avg.normal_()
    editor = build(models, scale=0.0, guess=0.0, norm=3.0)  # w^ = w
    editor.prepare(inversion)
    norm_B = (inversion.ws_BLD - models.generator.w_avg).square().mean((1, 2)).sqrt()
    torch.testing.assert_close(editor.losses(inversion, editor.stages()[0])["norm"], 3 * norm_B.mean())


def test_the_target_of_the_cycle_is_a_caption_of_the_image(models: Models, inversion: Inversion) -> None:
    editor = build(models, scale=0.0, guess=0.0, clip=1.0, clip_enough=1.0, directional=1.0, directional_enough=1.0)
    editor.prepare(replace(inversion, captions=(("blue",), ("red",), ("blue",), ("blue",))))
    one = replace(take(inversion, slice(1, 2)), captions=(("red",),))
    again_BCHW = invert(models, one.keys, one.recon_BCHW).recon_BCHW  # w^ = w: the cycle starts from the inversion
    seen_1E, back_1E = models.clip.image(one.recon_BCHW), models.clip.image(again_BCHW)
    red_1E, blue_1E = models.clip.text(["red"]), models.clip.text(["blue"])
    terms = [editor.losses(one, editor.stages()[0]) for _ in range(20)]
    to_blue = [each for each in terms if each["clip"].isclose(losses.clip_distance(seen_1E, blue_1E)[0])]
    assert 5 < len(to_blue) < 20
    for each in terms:
        torch.testing.assert_close(each["cycle_clip"], losses.clip_distance(back_1E, red_1E)[0])
    for each in to_blue:
        expected = losses.clip_directional(back_1E, seen_1E, red_1E - blue_1E)[0]
        torch.testing.assert_close(each["cycle_directional"], expected)


@pytest.mark.parametrize(("neutral", "start"), [("", "mean"), ("a photo", "a photo")])
def test_directions_start_from_the_neutral_text_or_the_mean(
    neutral: str, start: str, models: Models, inversion: Inversion
) -> None:
    editor = build(models, neutral=neutral, directional_enough=1.0, cycle=0.0, remapping=0.0)
    source = replace(inversion, captions=(("red",),) * 4)
    train(editor, source)
    text_1E = models.clip.text(["red"])
    start_1E = editor.text_mean_E[None] if start == "mean" else models.clip.text([start])
    assert torch.equal(editor.neutral_E[None], start_1E)
    edit_BE = models.clip.image(editor.edit(source, [Prompt("red")] * 4).image_BCHW)
    seen_BE = models.clip.image(source.recon_BCHW)
    wanted_B = 4 * losses.clip_directional(edit_BE, seen_BE, (text_1E - start_1E).expand(4, -1))
    draws = [editor.losses(source, editor.stages()[0])["directional"].item() for _ in range(40)]
    assert max(draws) == pytest.approx(wanted_B.mean().item(), rel=1e-4)  # when all four were swapped
