"""CLIPInverter's edits follow the paper's formulas, for a text or a reference image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from coral_core.bundle.models import Models
from coral_core.editors import EDITORS, spec
from coral_core.editors.clipinverter.clipinverter import ClipInverter
from coral_core.editors.clipinverter.config import ClipInverterConfig
from coral_core.fit import FitConfig
from coral_core.inversion import take
from coral_core.nets.stylegan2 import StyledConv, ToRGB
from coral_core.types import Inversion, Prompt, Styles
from tests.coral_core.editors import small_editors

RED, BLUE = Prompt("red"), Prompt("blue")


def build(models: Models, **options: float) -> ClipInverter:
    """An editor that is not fitted, the same in every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ClipInverter(models, ClipInverterConfig(start="regression", **{**small_editors.WEIGHTS, **options}))


def ready(models: Models, source: Inversion, **options: float) -> ClipInverter:
    """An editor with the statistics of a source, random weights and different lambdas: every part has an effect."""
    editor = build(models, **options)
    editor.prepare(source)
    editor.remapper.lambdas.data.copy_(torch.linspace(0.2, 0.9, len(editor.remapper.lambdas)))
    return editor


def same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@torch.no_grad()
def residual(editor: ClipInverter, batch: Inversion, text_BE: Tensor) -> Tensor:
    """w^ - w by the formula in the module's docstring."""
    encoder, centred_BE = editor.models.encoder, text_BE - editor.text_mean_E
    taps = editor.adapter.normalised(encoder.body(batch.image_BCHW))
    base_B1D, offsets_BLD = encoder.heads(editor.adapter(taps, centred_BE / editor.text_std_E))
    guess_B1D = (centred_BE @ editor.slope_ED)[:, None]
    return editor.config.scale * (base_B1D + offsets_BLD) + editor.config.guess * guess_B1D


@torch.no_grad()
def blended(
    editor: ClipInverter, batch: Inversion, text_BE: Tensor, adapted: float = 1.0, remapped: float = 1.0
) -> Styles:
    """Latents blended per layer, then transformed by the affine of each layer."""
    generator, lambdas_L = editor.models.generator, editor.remapper.lambdas
    ws_BLD = batch.ws_BLD + adapted * residual(editor, batch, text_BE)
    p_BLD = editor.remapper((text_BE - editor.text_mean_E) / editor.text_std_E)
    styles: list[Tensor] = []
    for index, conv in enumerate(generator.convs):
        assert isinstance(conv, StyledConv)
        share = remapped * 0.9 * lambdas_L[index - 1] if index else 0.0
        styles.append(conv.affine((1 - share) * ws_BLD[:, index] + share * p_BLD[:, index]))
        if index % 2 == 0:
            rgb = generator.to_rgbs[index // 2]
            assert isinstance(rgb, ToRGB)
            styles.append(rgb.affine(ws_BLD[:, index + 1]))
    return tuple(styles)


@pytest.mark.parametrize("strength", [0.4, 1.0])
@pytest.mark.parametrize("options", [{}, {"residual": 0.5}, {"remapping": 0.3}, {"residual": 0.0, "remapping": 1.1}])
def test_styles_are_affines_of_blended_latents_and_each_strength_scales_one_residual(
    options: dict[str, float], strength: float, models: Models, inversion: Inversion
) -> None:
    editor = ready(models, inversion, **options)
    adapted, remapped = (strength * options.get(name, 1.0) for name in ("residual", "remapping"))
    expected = blended(editor, inversion, models.clip.text(["red"] * 4), adapted, remapped)
    torch.testing.assert_close(editor.styles(inversion, [RED] * 4, strength), expected, atol=1e-5, rtol=1e-5)


def test_without_remapping_styles_are_those_of_the_adapted_latents(models: Models, inversion: Inversion) -> None:
    editor = ready(models, inversion, remapping=0.0)
    ws_BLD = inversion.ws_BLD + residual(editor, inversion, models.clip.text(["red"] * 4))
    assert same(editor.styles(inversion, [RED] * 4), models.generator.styles(ws_BLD))
    editor.config = ClipInverterConfig(start="regression")
    assert not same(editor.styles(inversion, [RED] * 4), models.generator.styles(ws_BLD))
    editor.remapper.lambdas.data.zero_()
    assert same(editor.styles(inversion, [RED] * 4), models.generator.styles(ws_BLD))


def test_the_remapper_changes_only_convolutions_from_8_px(models: Models, inversion: Inversion) -> None:
    with_it, without = (ready(models, inversion, remapping=share) for share in (1.0, 0.0))
    pairs = zip(*(editor.styles(inversion, [RED] * 4) for editor in (with_it, without)), strict=True)
    sizes = zip(models.generator.conv_style_indices, models.generator.conv_sizes, strict=True)
    moved = [site for site, (a, b) in enumerate(pairs) if not torch.equal(a, b)]
    assert moved == [site for site, size in sizes if size >= 8]


def test_normalised_taps_are_computed_once_per_batch(
    models: Models, make_inversion: Callable[..., Inversion], monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = ready(models, make_inversion(models))
    first, second = (make_inversion(models, count, count) for count in (4, 5))
    first, second = (replace(each, taps=models.encoder.body(each.image_BCHW)) for each in (first, second))
    wanted = [(batch, text) for batch in (first, second, take(first, slice(1, 3))) for text in ("red", "blue")]
    expected = [blended(editor, batch, models.clip.text([text] * len(batch.keys))) for batch, text in wanted]
    computed, normalised = list[int](), editor.adapter.normalised

    def counted(taps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        computed.append(len(taps[0]))
        return normalised(taps)

    monkeypatch.setattr(editor.adapter, "normalised", counted)
    for (batch, text), styles in zip(wanted, expected, strict=True):
        found = editor.styles(batch, [Prompt(text)] * len(batch.keys))
        torch.testing.assert_close(found, styles, atol=1e-5, rtol=1e-5)
    assert computed == [4, 5, 2, 2]  # once per batch with taps, and in every call for a batch without


def test_an_edit_is_the_same_with_and_without_taps(models: Models, inversion: Inversion) -> None:
    editor = ready(models, inversion)
    tapped = replace(inversion, taps=models.encoder.body(inversion.image_BCHW))
    edits = [editor.edit(batch, [RED, BLUE, RED, BLUE]).image_BCHW for batch in (inversion, tapped, tapped)]
    assert torch.equal(edits[0], edits[1])
    assert torch.equal(edits[1], edits[2])


@pytest.mark.parametrize("origin", ["fitted", "loaded"])
def test_the_next_edit_uses_changed_adapter_weights(origin: str, models: Models, inversion: Inversion) -> None:
    editor, other = ready(models, inversion), ready(models, inversion)
    tapped = replace(inversion, taps=models.encoder.body(inversion.image_BCHW))
    before = editor.edit(tapped, [RED] * 4).image_BCHW
    config = FitConfig(steps=40, batch_size=4, precision="float32")
    (editor if origin == "fitted" else other).fit(inversion, config)
    if origin == "loaded":
        editor.load_state_dict(other.state_dict())
    after, untapped = (editor.edit(batch, [RED] * 4).image_BCHW for batch in (tapped, inversion))
    assert (untapped - before).abs().max() > 0.05
    assert torch.equal(after, untapped)


def test_a_reference_image_replaces_the_text(models: Models, make_inversion: Callable[..., Inversion]) -> None:
    source = make_inversion(models, 40)
    editor, image_NE = ready(models, source), models.clip.image(source.recon_BCHW)
    redness_N = image_NE @ (models.clip.text(["red"]) - models.clip.text(["blue"]))[0]
    reddest, bluest = (Prompt("no text", look=tuple(image_NE[i].tolist())) for i in redness_N.sort().indices[[-1, 0]])
    red_N3, blue_N3 = (editor.edit(source, [p] * 40).image_BCHW.mean((2, 3)) for p in (reddest, bluest))
    colour_3 = (red_N3 - blue_N3).mean(0)
    assert colour_3[0] > 0.05 > -0.05 > colour_3[2]


@pytest.mark.parametrize("deviations", [0.0, 0.7])
def test_an_image_and_a_text_with_equal_standardised_embeddings_give_the_same_edit(
    deviations: float, models: Models, inversion: Inversion
) -> None:
    editor = ready(models, inversion)
    image_NE, text_NE = models.clip.image(inversion.recon_BCHW), models.clip.text(["red", "blue", "a photo"])
    away_E = deviations * torch.tensor([1.0, -1.0, 1.0, 0.0, -1.0, 0.0, 1.0, 1.0])
    stds = [each.std(0, correction=0) for each in (image_NE, text_NE)]
    std_image_E, std_text_E = (torch.where(std_E > 1e-6, std_E, 1.0) for std_E in stds)
    look_E = image_NE.mean(0) + away_E * std_image_E
    text_E = text_NE.mean(0) + away_E * std_text_E
    found = editor.styles(inversion, [Prompt("any", look=tuple(look_E.tolist()))] * 4)
    torch.testing.assert_close(found, blended(editor, inversion, text_E.expand(4, -1)), atol=1e-3, rtol=1e-3)


def test_a_reference_embedding_of_another_width_is_refused(models: Models, inversion: Inversion) -> None:
    editor, wrong = ready(models, inversion), Prompt("red", look=(0.6, 0.8, 0.0))
    for ask in (lambda: editor.check([wrong]), lambda: editor.edit(inversion, [RED, RED, RED, wrong])):
        with pytest.raises(ValueError, match="a look of 3 numbers; this CLIP's embeddings have 8"):
            ask()


@pytest.mark.parametrize("method", [name for name, row in EDITORS.items() if not row.takes_reference])
def test_methods_without_reference_images_refuse_them(method: str, models: Models, inversion: Inversion) -> None:
    look = Prompt("red", look=(1.0,) + (0.0,) * 7)
    editor = small_editors.build(method, models)
    for ask in (lambda: editor.check([look]), lambda: editor.edit(inversion, [look] * 4)):
        with pytest.raises(ValueError, match="'red': this method edits towards texts and cannot follow a reference"):
            ask()


@pytest.mark.parametrize("name", [field.name for field in fields(ClipInverterConfig) if field.type == "float"])
def test_no_option_may_be_negative(name: str) -> None:
    with pytest.raises(ValueError, match=rf"clipinverter: .*cannot be negative: {name} = -0\.1"):
        spec("clipinverter").resolve({name: -0.1})
