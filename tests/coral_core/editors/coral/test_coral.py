from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from coral_core import losses
from coral_core.bundle.models import Models
from coral_core.editors.coral.coral import CoralEditor
from coral_core.editors.coral.prompt_config import CoralConfig, LatentConfig
from coral_core.editors.latent.slots import GlobalDirection, LevelMapper
from coral_core.editors.regions.attention import ConvAttention
from coral_core.editors.regions.region import Region, WholeImage, image_mask
from coral_core.editors.source_cache import SourceCache
from coral_core.fit import FitConfig
from coral_core.inversion import take
from coral_core.nets.stylegan2 import Generator
from coral_core.types import Inversion, Masks, Prompt

RED = Prompt("red")


class Constant(Region):
    """A region whose masks have one value, in the left half only or everywhere."""

    def __init__(self, value: float, left_only: bool = False) -> None:
        super().__init__()
        self.value, self.left_only = value, left_only

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        masks = tuple(torch.full((len(inversion.keys), 1, size, size), self.value) for size in generator.conv_sizes)
        if self.left_only:
            for mask_B1HW in masks:
                mask_B1HW[..., mask_B1HW.shape[-1] // 2 :] = 0
        return masks


def moved(models: Models, region: Region, config: LatentConfig | None = None) -> CoralEditor:
    """An editor with a random direction, as if fitted."""
    generator = models.generator
    latent = GlobalDirection(generator.num_ws, generator.w_dim)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        torch.nn.init.normal_(latent.direction_LD, std=0.5)
    return CoralEditor(models, RED, latent, region, config or CoralConfig(start="none"))


def test_masks_of_ones_give_the_plain_edited_render(models: Models, inversion: Inversion) -> None:
    blended = moved(models, Constant(1.0)).edit(inversion, [RED] * 4)
    plain = moved(models, WholeImage()).edit(inversion, [RED] * 4)
    assert torch.equal(blended.image_BCHW, plain.image_BCHW)
    assert torch.equal(blended.mask_B1HW, plain.mask_B1HW)
    assert torch.equal(blended.layer_areas_BL, plain.layer_areas_BL)


def test_masks_of_zeros_return_the_original_bit_for_bit(models: Models, inversion: Inversion) -> None:
    edit = moved(models, Constant(0.0)).edit(inversion, [RED] * 4)
    assert torch.equal(edit.image_BCHW, inversion.recon_BCHW)
    assert not edit.mask_B1HW.any()


def test_an_edit_has_the_masks_of_its_blending(models: Models, inversion: Inversion) -> None:
    edit = moved(models, Constant(0.25, left_only=True)).edit(inversion, [RED] * 4)
    assert [mask_B1HW.shape for mask_B1HW in edit.masks] == [(4, 1, size, size) for size in models.generator.conv_sizes]
    torch.testing.assert_close(losses.layer_areas(edit.masks), edit.layer_areas_BL)
    assert moved(models, WholeImage()).edit(inversion, [RED] * 4).masks == ()  # it chooses no region


def test_an_edit_stays_near_its_mask(models: Models, inversion: Inversion) -> None:
    edit = moved(models, Constant(1.0, left_only=True)).edit(inversion, [RED] * 4)
    change_W = (edit.image_BCHW - inversion.recon_BCHW).abs().mean((0, 1, 2))
    assert change_W[:8].mean() > 3 * change_W[24:].mean()


def test_strength_scales_the_latent_edit(models: Models, inversion: Inversion) -> None:
    editor = moved(models, WholeImage())
    changes = [
        (editor.edit(inversion, [RED] * 4, strength=strength).image_BCHW - inversion.recon_BCHW).abs().mean()
        for strength in (0.25, 0.5, 1.0)
    ]
    assert changes[0] < changes[1] < changes[2]


def test_an_image_stays_in_its_range(models: Models, inversion: Inversion) -> None:
    image_BCHW = moved(models, WholeImage()).edit(inversion, [RED] * 4, strength=20.0).image_BCHW
    assert image_BCHW.abs().max() <= 1


def test_a_level_that_is_off_stays_unchanged_although_layers_are_correlated(
    models: Models, inversion: Inversion
) -> None:
    latent = GlobalDirection(models.generator.num_ws, models.generator.w_dim)
    torch.nn.init.ones_(latent.direction_LD)
    editor = CoralEditor(models, RED, latent, WholeImage(), LatentConfig(start="none", levels=("medium",)))
    editor.prepare(inversion)
    moved_BLD = (
        editor._edited_ws(inversion.ws_BLD, editor._start(inversion), latent(inversion.ws_BLD)) - inversion.ws_BLD
    )
    assert not moved_BLD[:, :4].any()
    assert moved_BLD[:, 4:8].any()


def test_a_fit_starts_along_the_direction_of_the_text(models: Models, make_inversion: Callable[..., Inversion]) -> None:
    source = make_inversion(models, 40)
    for start in ("regression", "none"):
        latent = GlobalDirection(models.generator.num_ws, models.generator.w_dim)  # zeros: the start alone moves
        editor = CoralEditor(models, RED, latent, WholeImage(), LatentConfig(start=start, clip_enough=1.0))
        editor.prepare(source)
        toward_red = models.clip.text(["red"])
        moved_B = models.clip.image(editor.edit(source, [RED] * 40).image_BCHW) @ toward_red[0]
        gain = (moved_B - models.clip.image(source.recon_BCHW) @ toward_red[0]).mean()
        assert gain > 0.1 if start == "regression" else gain == 0


def test_a_network_computes_an_unedited_sample_once(inversion: Inversion) -> None:
    read: list[int] = []

    def network(image_BCHW: torch.Tensor) -> torch.Tensor:
        read.append(len(image_BCHW))
        return image_BCHW.mean((2, 3))

    unedited = SourceCache.of_images(network)
    unedited(take(inversion, slice(0, 2)))
    rows_BC = unedited(inversion)
    assert read == [2, 2]
    torch.testing.assert_close(rows_BC, inversion.recon_BCHW.mean((2, 3)))


def missing(distance_B: torch.Tensor, enough: float) -> torch.Tensor:
    return (enough - (1 - distance_B)).clamp_min(0)


def test_losses_are_the_weighted_formulas(models: Models, inversion: Inversion) -> None:
    config = CoralConfig(
        start="none", clip=2.0, directional=3.0, l2=5.0, identity=7.0, area=11.0, total_variation=13.0, keep=17.0,
        unneeded=19.0, complete=23.0, clip_enough=0.9, directional_enough=0.95,
    )  # fmt: skip
    editor = moved(models, ConvAttention.of(models), config)
    with torch.no_grad():
        terms = editor.losses(inversion, editor.stages()[0])
        masks = editor.region(inversion, models.generator)
        blended = editor.edit(inversion, [RED] * 4).image_BCHW
        whole = moved(models, WholeImage()).edit(inversion, [RED] * 4).image_BCHW
        e_blended, e_whole, e_source = (models.clip.image(x) for x in (blended, whole, inversion.recon_BCHW))
        text, towards = models.clip.text(["red"]), models.clip.direction([RED])
        change_B1HW = (whole - inversion.recon_BCHW).abs().mean(1, keepdim=True)
        expected = {
            "clip": 2 * (missing(losses.clip_distance(e_blended, text), 0.9)
                         + missing(losses.clip_distance(e_whole, text), 0.9)) / 2,
            "directional": 3 * (missing(losses.clip_directional(e_blended, e_source, towards), 0.95)
                                + missing(losses.clip_directional(e_whole, e_source, towards), 0.95)) / 2,
            "l2": 5 * editor.latent.direction_LD.square().mean(),
            "identity": 7 * (1 - (models.identity(blended) * models.identity(inversion.recon_BCHW)).sum(1)),
            "area": 11 * losses.area(masks or ()),
            "unneeded": 19 * (image_mask(masks or (), 32) * (1 - change_B1HW / 0.15).clamp_min(0)).mean((1, 2, 3)),
            "complete": 23 * ((change_B1HW / 0.15).clamp(max=1) * (blended - whole).abs()).mean((1, 2, 3)),
            "total_variation": 13 * losses.total_variation(masks or ()),
            "keep": 17 * ((1 - image_mask(masks or (), 32)) * (blended - inversion.recon_BCHW).abs()).mean((1, 2, 3)),
        }  # fmt: skip
    assert list(terms) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value.mean(), msg=lambda text, name=name: f"{name}: {text}")


def test_a_weight_of_zero_leaves_the_term_out(models: Models, inversion: Inversion) -> None:
    editor = moved(
        models, ConvAttention.of(models), CoralConfig(start="none", identity=0.0, directional=0.0, complete=1.0)
    )
    terms = editor.losses(inversion, editor.stages()[0])
    assert set(terms) == {"clip", "l2", "area", "complete", "total_variation", "keep"}


class PerLayer(Region):
    """A region whose mask is one value per layer."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = values

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        shapes = ((len(inversion.keys), 1, size, size) for size in generator.conv_sizes)
        return tuple(torch.full(shape, value) for shape, value in zip(shapes, self.values, strict=True))


@pytest.mark.parametrize("largest", [1.0, 0.45])
def test_layers_whose_mask_is_small_beside_the_largest_are_shut_by_a_fit(
    largest: float, models: Models, inversion: Inversion
) -> None:
    values = [largest, 0.3, 0.4, 0.0, 0.42, largest, largest][: len(models.generator.conv_sizes)]
    solid = [min(max(4 * (value - 0.5) + 0.5, 0.0), 1.0) for value in values]  # as edits use them
    for least in (0.0, 0.4):
        expected = [float(value >= least * max(solid)) for value in solid]
        editor = moved(models, PerLayer(*values), CoralConfig(start="none", close_layers=least))
        editor.fit(inversion, FitConfig(steps=1, batch_size=2))
        assert editor.open_layers.tolist() == expected
        areas_L = editor.edit(inversion, [RED] * 4).layer_areas_BL[0]
        torch.testing.assert_close(areas_L, torch.tensor(values) * torch.tensor(expected))


def test_edits_with_a_difference_have_solid_masks_where_the_image_changes(models: Models, inversion: Inversion) -> None:
    soft = moved(models, Constant(0.65)).edit(inversion, [RED] * 4)
    solid = moved(models, Constant(0.65), CoralConfig(start="none", difference=0.1)).edit(inversion, [RED] * 4)
    whole = moved(models, WholeImage()).edit(inversion, [RED] * 4)
    assert torch.all(soft.mask_B1HW == 0.65)
    inside_B1HW = solid.mask_B1HW == 1
    assert 0 < inside_B1HW.float().mean() < 1 and not solid.mask_B1HW.min()
    inside_BCHW, outside_BCHW = inside_B1HW.expand(-1, 3, -1, -1), (solid.mask_B1HW == 0).expand(-1, 3, -1, -1)
    assert torch.equal(solid.image_BCHW[inside_BCHW], whole.image_BCHW[inside_BCHW])
    assert torch.equal(solid.image_BCHW[outside_BCHW], inversion.recon_BCHW[outside_BCHW])
    change_BHW = (whole.image_BCHW - inversion.recon_BCHW).abs().mean(1)
    assert change_BHW[inside_B1HW[:, 0]].mean() > 2 * change_BHW[(solid.mask_B1HW == 0)[:, 0]].mean()


def test_the_area_term_shrinks_masks_that_do_not_help(models: Models, inversion: Inversion) -> None:
    areas = []
    for weight in (0.02, 3.0):
        torch.manual_seed(0)
        editor = moved(models, ConvAttention.of(models), CoralConfig(start="none", area=weight, region_rate=0.03))
        editor.fit(inversion, FitConfig(steps=40, batch_size=4))
        areas.append(editor.edit(inversion, [RED] * 4).layer_areas_BL.mean())
    assert areas[1] < 0.2 < areas[0]


def test_other_prompts_than_the_fitted_one_are_refused(models: Models, inversion: Inversion) -> None:
    editor = moved(models, WholeImage())
    with pytest.raises(ValueError, match=r"fitted for.*red.*not for.*blue"):
        editor.edit(inversion, [RED, RED, RED, Prompt("blue")])
    with pytest.raises(ValueError, match="2 prompts for 4 samples"):
        editor.edit(inversion, [RED, RED])


def test_a_source_without_spread_is_refused(models: Models, inversion: Inversion) -> None:
    with pytest.raises(ValueError, match="1 sample has none"):
        moved(models, WholeImage()).fit(take(inversion, slice(0, 1)), FitConfig(steps=2))


def test_a_prompt_whose_target_is_its_source_is_refused(models: Models) -> None:
    latent = LevelMapper(models.generator.num_ws, models.generator.w_dim)
    with pytest.raises(ValueError, match="nothing to edit"):
        CoralEditor(models, Prompt("red", "red"), latent, WholeImage(), LatentConfig(start="none"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip_enough": 1.5}, "clip_enough = 1.5"),
        ({"start": "guess"}, "start is 'guess'; give one of transport, regression, none"),
        ({"levels": ("fin",)}, "coarse, medium, fine"),
        ({"levels": ()}, "coarse, medium, fine"),
        ({"area": -1.0}, "area = -1.0"),
        ({"region_rate": -1.0}, "region = -1.0"),
        ({"start": "none", "embedding": 1.0}, "give embedding: 0"),
        ({"close_layers": 1.5}, "close_layers is 1.5"),
        ({"difference": 2.0}, "difference is 2.0"),
        (
            dict.fromkeys(CoralConfig().weights(), 0.0),
            "all weights are",
        ),
    ],
)
def test_impossible_configs_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CoralConfig(**change)  # type: ignore[arg-type]
