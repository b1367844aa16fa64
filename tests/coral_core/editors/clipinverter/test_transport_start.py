"""CLIPInverter's residual on transport's edits: the first edit, what is learned, reference images and targets."""

from __future__ import annotations

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.editors import spec
from coral_core.editors.clipinverter.clipinverter import ClipInverter
from coral_core.editors.clipinverter.config import ClipInverterConfig
from coral_core.editors.regions.difference import difference_mask
from coral_core.editors.transport.transport import Transport
from coral_core.fit import FitConfig
from coral_core.inversion import take
from coral_core.types import Inversion, Prompt
from tests.coral_core.editors.small_editors import RED, build

BOTH = Prompt("a photo", "", wishes=("red", "blue"))


@pytest.fixture
def transport(models: Models) -> Transport:
    (base,) = started_of(build("clipinverter", models))._base
    assert isinstance(base, Transport)
    return base


def started_of(editor: object) -> ClipInverter:
    assert isinstance(editor, ClipInverter)
    return editor


def started(transport: Transport, source: Inversion, **options: object) -> ClipInverter:
    """An editor before the first step of its fit."""
    row = spec("clipinverter")
    editor = started_of(row.build(row.resolve(options), None, transport.models, transport))
    editor.prepare(source)
    return editor


def looks(models: Models, inversion: Inversion) -> list[Prompt]:
    """Each image as the reference image of the one before it."""
    shown_BE = models.clip.image(inversion.image_BCHW).roll(-1, 0)
    return [Prompt("like this", look=tuple(look_E.tolist())) for look_E in shown_BE]


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("prompt", [RED, BOTH])
def test_the_first_edit_is_that_of_transport(
    prompt: Prompt, strength: float, transport: Transport, inversion: Inversion
) -> None:
    image_BCHW = started(transport, inversion).edit(inversion, [prompt] * 4, strength=strength).image_BCHW
    expected = transport.edit(inversion, [prompt] * 4, strength=strength).image_BCHW
    torch.testing.assert_close(image_BCHW, expected, atol=1e-5, rtol=0)
    moved = (image_BCHW - inversion.recon_BCHW).abs().max()
    assert moved > 0.01 if strength else moved < 1e-6


def test_a_fit_learns_every_parameter_and_leaves_transport_alone(transport: Transport, inversion: Inversion) -> None:
    editor = started(transport, inversion)
    before = {name: value.clone() for name, value in editor.named_parameters()}
    kept = {name: value.clone() for name, value in transport.state_dict().items()}
    first = editor.edit(inversion, [RED] * 4).image_BCHW
    editor.fit(inversion, FitConfig(steps=33, batch_size=4, settle=0.0, precision="float32"))
    assert all(not torch.equal(value, before[name]) for name, value in editor.named_parameters())
    assert all(torch.equal(value, kept[name]) for name, value in transport.state_dict().items())
    assert not any("base" in name or "decoder" in name for name in editor.state_dict())
    assert (editor.edit(inversion, [RED] * 4).image_BCHW - first).abs().max() > 1e-3


def test_the_gain_scales_the_residual_of_each_layer(transport: Transport, inversion: Inversion) -> None:
    editor, generator = started(transport, inversion), transport.models.generator
    with torch.no_grad():
        editor.gain_L1[1] = 0.5
    moved = [
        not torch.equal(one, other)
        for one, other in zip(editor.styles(inversion, [RED] * 4), transport.styles(inversion, [RED] * 4), strict=True)
    ]
    ws_BLD = inversion.ws_BLD.clone()
    ws_BLD[:, 1] += 1.0
    plain, raised = generator.styles(inversion.ws_BLD), generator.styles(ws_BLD)
    assert moved == [not torch.equal(one, other) for one, other in zip(plain, raised, strict=True)]


def test_an_untrained_edit_towards_an_image_takes_over_all_that_clip_sees_in_it(
    transport: Transport, inversion: Inversion
) -> None:
    editor, generator, decoder = started(transport, inversion), transport.models.generator, transport.decoder
    shown_BE = transport.models.clip.image(inversion.image_BCHW)
    with torch.no_grad():
        change_BD = decoder(shown_BE.roll(-1, 0)) - decoder(shown_BE)
        expected = generator.render(generator.styles(inversion.ws_BLD + change_BD[:, None])).clamp(-1, 1)
    image_BCHW = editor.edit(inversion, looks(transport.models, inversion)).image_BCHW
    torch.testing.assert_close(image_BCHW, expected, atol=1e-5, rtol=0)
    assert (expected - inversion.recon_BCHW).abs().max() > 0.01


def test_texts_and_reference_images_may_be_in_one_batch(transport: Transport, inversion: Inversion) -> None:
    editor = started(transport, inversion)
    prompts = [RED, *looks(transport.models, inversion)[1:3], BOTH]
    editor.check(prompts)
    together = editor.edit(inversion, prompts).image_BCHW
    for position, prompt in enumerate(prompts):
        alone = editor.edit(take(inversion, slice(position, position + 1)), [prompt]).image_BCHW[0]
        torch.testing.assert_close(alone, together[position], atol=1e-4, rtol=0)


def test_training_compares_with_the_clear_part_of_the_start_and_with_the_image_for_its_own_caption(
    transport: Transport, inversion: Inversion
) -> None:
    editor = started(transport, inversion, difference=0.02)
    kinds = set()
    for _ in range(8):
        pair = editor._pairs.forward(inversion)
        generator = transport.models.generator
        with torch.no_grad():
            start_BCHW = generator.render(generator.styles(inversion.ws_BLD + pair.start.whole[:, None])).clamp(-1, 1)
        mask_B1HW = difference_mask(start_BCHW, inversion.recon_BCHW, 0.02)
        for index, swapped in enumerate(pair.swapped_B.tolist()):
            inside = (mask_B1HW[index] == 1).expand(3, -1, -1) if swapped else torch.zeros(3, 1, 1, dtype=torch.bool)
            kept, recon, start = pair.kept_BCHW[index], inversion.recon_BCHW[index], start_BCHW[index]
            assert torch.equal(torch.where(inside, kept, start), start)
            outside = mask_B1HW[index] == 0 if swapped else torch.ones_like(mask_B1HW[index], dtype=torch.bool)
            assert torch.equal(torch.where(outside, kept, recon), recon)
            kinds.add((swapped, bool(inside.any())))
    assert {(0.0, False), (1.0, True)} <= kinds


def test_the_cycle_compares_with_the_image_and_starts_at_the_edited_one(
    transport: Transport, inversion: Inversion
) -> None:
    editor = started(transport, inversion, cycle=1.0)
    pair = editor._pairs.forward(inversion)
    back = editor._pairs.cycle(inversion.image_BCHW.flip(0), pair)
    assert torch.equal(back.kept_BCHW, inversion.recon_BCHW)
    turned = take(inversion, torch.tensor([3, 2, 1, 0]))
    wanted = [Prompt(text, "") for text in pair.own]
    torch.testing.assert_close(back.start.whole, transport.displacement(turned, wanted), atol=0.1, rtol=0.1)


def test_a_fit_reads_the_maps_of_as_many_wishes_as_allowed(transport: Transport, inversion: Inversion) -> None:
    transport._forget()
    editor = started(transport, inversion, wishes=2)
    editor.fit(inversion, FitConfig(steps=12, batch_size=4, settle=0.0, precision="float32"))
    assert 1 <= len(transport._maps) <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "direction"}, "start is 'direction'; give one of transport, regression"),
        ({"wishes": 0}, "wishes is 0"),
    ],
)
def test_options_of_the_start_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec("clipinverter").resolve(options)


def test_only_a_start_at_transport_builds_upon_it(models: Models) -> None:
    row = spec("clipinverter")
    assert row.base_of(row.resolve({})) == "transport"
    assert row.base_of(row.resolve({"start": "regression"})) == ""
    assert ClipInverter(models, ClipInverterConfig(start="regression")).gain_L1.eq(1).all()


def test_each_wish_has_factors_of_the_layers(transport: Transport, inversion: Inversion) -> None:
    """The factors of a wish scale its change in every layer; those of another wish are others."""
    editor, models = started(transport, inversion), transport.models
    with torch.no_grad():
        editor.factors.change.weight.normal_(0, 0.3)  # type: ignore[union-attr]
        editor.factors.change.bias.normal_()  # type: ignore[union-attr]
        change_BKD = transport.changes(inversion, [BOTH] * 4)
        texts_KE = models.clip.text(["blue", "red"])
        factors_KL = editor.factors((texts_KE - editor.text_mean_E) / editor.text_std_E)  # type: ignore[misc]
        change_BLD = sum(factors_KL[k][None, :, None] * change_BKD[:, k, None] for k in range(2))
        expected = models.generator.styles(inversion.ws_BLD + change_BLD)
    assert not torch.allclose(factors_KL[0], factors_KL[1])
    torch.testing.assert_close(editor.styles(inversion, [BOTH] * 4), expected, atol=1e-4, rtol=1e-4)


def test_the_change_to_a_reference_image_has_no_factors(transport: Transport, inversion: Inversion) -> None:
    editor, wanted = started(transport, inversion), looks(transport.models, inversion)
    before = editor.edit(inversion, wanted).image_BCHW
    with torch.no_grad():
        editor.factors.change.bias.fill_(-1.0)  # type: ignore[union-attr]
    assert torch.equal(editor.edit(inversion, wanted).image_BCHW, before)
    torch.testing.assert_close(editor.edit(inversion, [RED] * 4).image_BCHW, inversion.recon_BCHW, atol=1e-5, rtol=0)
