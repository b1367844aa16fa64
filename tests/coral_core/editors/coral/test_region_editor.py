"""CLIPInverter with regions: only the regions are fitted, and nothing changes outside their masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from coral_core.bundle.models import Models
from coral_core.editors.clipinverter.clipinverter import ClipInverter
from coral_core.editors.clipinverter.config import ClipInverterConfig
from coral_core.editors.coral.prompt_config import RegionConfig
from coral_core.editors.coral.region_editor import RegionEditor
from coral_core.editors.regions.attention import ConvAttention
from coral_core.editors.regions.region import Region
from coral_core.fit import FitConfig
from coral_core.inversion import take
from coral_core.nets.stylegan2 import Generator
from coral_core.precision import Precision
from coral_core.types import Inversion, Masks, Prompt

RED = Prompt("red")


class Constant(Region):
    """A region whose masks have one value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, inversion: Inversion, generator: Generator) -> Masks:
        return tuple(torch.full((len(inversion.keys), 1, size, size), self.value) for size in generator.conv_sizes)


def base(models: Models, source: Inversion) -> ClipInverter:
    """A ClipInverter with the statistics of a source and random weights, so that every part has effect."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        inverter = ClipInverter(models, ClipInverterConfig(start="regression"))
    inverter.prepare(source)
    return inverter


def around(inverter: ClipInverter, region: Region | None = None, prompt: Prompt = RED) -> RegionEditor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        chosen = region or ConvAttention.of(inverter.models)
    return RegionEditor(inverter.models, prompt, chosen, RegionConfig(), inverter)


def kept(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_fit_learns_the_region_and_leaves_the_base_alone(
    precision: Precision, models: Models, inversion: Inversion
) -> None:
    inverter = base(models, inversion)
    editor = around(inverter)
    assert all(parameter.requires_grad for parameter in inverter.parameters())  # nothing but the editor protects them
    below, before = kept(inverter), kept(editor)
    report = editor.fit(inversion, FitConfig(steps=5, batch_size=2, precision=precision))
    assert report.steps == 5
    assert {name.split(".")[0] for name in editor.state_dict()} == {"open_layers", "region"}
    assert all(torch.equal(value, before[name]) == (name == "open_layers") for name, value in kept(editor).items())
    assert all(torch.equal(value, below[name]) for name, value in inverter.state_dict().items())
    assert all(parameter.grad is None for parameter in inverter.parameters())


def test_the_base_is_not_in_the_state_dict(models: Models, inversion: Inversion) -> None:
    inverter = base(models, inversion)
    editor = around(inverter)
    trained = {id(p) for stage in editor.stages() for group in stage.groups for p in group.parameters}
    assert trained == {id(p) for p in editor.parameters()} == {id(p) for p in editor.region.parameters()}
    assert not any(isinstance(module, ClipInverter) for module in editor.modules())
    total = torch.stack(list(editor.losses(inversion, editor.stages()[0]).values())).sum()
    assert all(each is None for each in torch.autograd.grad(total, list(inverter.parameters()), allow_unused=True))


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("prompt", [RED, Prompt("blue", "red")])
def test_the_edited_styles_are_those_of_the_base(
    prompt: Prompt, strength: float, models: Models, inversion: Inversion
) -> None:
    inverter = base(models, inversion)
    edited, _ = around(inverter, prompt=prompt).edited(inversion, strength)
    expected = inverter.styles(inversion, [prompt] * 4, strength)
    assert all(torch.equal(a, b) for a, b in zip(edited, expected, strict=True))


def test_masks_of_zeros_return_the_inversion_bit_for_bit(models: Models, inversion: Inversion) -> None:
    edit = around(base(models, inversion), Constant(0.0)).edit(inversion, [RED] * 4)
    assert torch.equal(edit.image_BCHW, inversion.recon_BCHW)
    assert not edit.mask_B1HW.any()


def test_masks_of_ones_give_the_edit_of_the_base(models: Models, inversion: Inversion) -> None:
    inverter = base(models, inversion)
    edit = around(inverter, Constant(1.0)).edit(inversion, [RED] * 4)
    expected = inverter.edit(inversion, [RED] * 4)
    assert torch.equal(edit.image_BCHW, expected.image_BCHW)
    assert (edit.image_BCHW - inversion.recon_BCHW).abs().max() > 0.05


def test_learned_masks_give_images_between_the_inversion_and_the_edit_of_the_base(
    models: Models, make_inversion: Callable[..., Inversion]
) -> None:
    source = make_inversion(models, 12)
    inverter = base(models, source)
    editor = around(inverter)
    editor.fit(source, FitConfig(steps=20, batch_size=4))
    edit = editor.edit(source, [RED] * 12)
    assert 0.02 < edit.mask_B1HW.mean() < 0.98
    moved = (edit.image_BCHW - source.recon_BCHW).abs().mean()
    assert 0 < moved < (inverter.edit(source, [RED] * 12).image_BCHW - source.recon_BCHW).abs().mean()


def test_regions_need_no_captions_and_no_taps(models: Models, inversion: Inversion) -> None:
    inverter = base(models, inversion)
    uncaptioned = replace(take(inversion, slice(0, 4)), captions=())
    captioned, other = around(inverter), around(inverter)
    captioned.fit(inversion, FitConfig(steps=3, batch_size=2))
    other.fit(uncaptioned, FitConfig(steps=3, batch_size=2))
    assert all(torch.equal(value, kept(other)[name]) for name, value in captioned.state_dict().items())
    tapped = replace(uncaptioned, taps=models.encoder.body(uncaptioned.image_BCHW))
    first, second = (other.edit(each, [RED] * 4).image_BCHW for each in (uncaptioned, tapped))
    assert torch.equal(first, second)


def test_another_prompt_is_refused_though_the_base_could(models: Models, inversion: Inversion) -> None:
    inverter = base(models, inversion)
    editor = around(inverter)
    inverter.check([Prompt("blue")])
    with pytest.raises(ValueError, match=r"fitted for.*red.*not for.*blue"):
        editor.edit(inversion, [RED, RED, RED, Prompt("blue")])
    with pytest.raises(ValueError, match="cannot follow a reference image"):
        around(inverter, prompt=Prompt("red", look=(1.0,) * models.clip.width))
