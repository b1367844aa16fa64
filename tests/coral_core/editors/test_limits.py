from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from coral_core import losses
from coral_core.bundle.models import Models
from coral_core.composite import composite
from coral_core.editors import EDITORS, FitScope, spec
from coral_core.editors.base import Editor
from coral_core.editors.limits import UNLIMITED, Limits, limited
from coral_core.inversion import take
from coral_core.types import Edit, Inversion, Masks, concat_inversions
from tests.coral_core.editors.small_editors import RED, build, cuts, resolved

SIZES = (4, 8, 8, 16)
every_method = pytest.mark.parametrize("method", EDITORS)


def moved(method: str, models: Models, inversion: Inversion) -> Editor:
    """An editor after a short fit, with noise on all parameters; or one that searches for a few steps."""
    small = {"steps": 2, "batch_size": 2}
    editor = build(method, models, inversion, **small)
    if spec(method).is_fitted:
        editor.fit(inversion, spec(method).fit_config(resolved(method, **small)))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(2)
        for parameter in editor.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return editor


def red(editor: Editor, inversion: Inversion, limits: Limits = UNLIMITED) -> Edit:
    return editor.edit(inversion, [RED] * len(inversion.keys), limits=limits)


def within(inversion: Inversion, value: float | Tensor) -> Inversion:
    """The inversion with a user mask of one value, or with one mask for all samples."""
    return replace(inversion, user_mask_B1HW=torch.ones_like(inversion.image_BCHW[:, :1]) * value)


def left_half(size: int) -> Tensor:
    mask_HW = torch.zeros(size, size)
    mask_HW[:, : size // 2] = 1
    return mask_HW


def random_masks(count: int = 3) -> Masks:
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.rand(count, 1, size, size, generator=draw) for size in SIZES)


def blank(count: int = 3, size: int = 16) -> Inversion:
    image_BCHW = torch.zeros(count, 3, size, size)
    return Inversion(tuple(map(str, range(count))), image_BCHW, torch.empty(0), image_BCHW, torch.empty(0))


def assert_same(one: Edit, other: Edit) -> None:
    for part in ("image_BCHW", "mask_B1HW", "layer_areas_BL"):
        assert torch.equal(getattr(one, part), getattr(other, part)), part


@every_method
def test_limits_without_effect_change_no_bit(method: str, models: Models, inversion: Inversion) -> None:
    editor = moved(method, models, inversion)
    plain = editor.edit(inversion, [RED] * 4)
    every_layer = Limits(layers=tuple(range(len(models.generator.conv_sizes))))
    assert_same(red(editor, inversion, Limits()), plain)
    assert_same(red(editor, inversion, every_layer), plain)
    assert_same(red(editor, within(inversion, 1.0)), plain)
    assert_same(red(editor, within(inversion, 1.0), every_layer), plain)


@every_method
def test_a_user_mask_of_zeros_returns_the_inversion_bit_for_bit(
    method: str, models: Models, inversion: Inversion
) -> None:
    edit = red(moved(method, models, inversion), within(inversion, 0.0))
    assert torch.equal(edit.image_BCHW, inversion.recon_BCHW)
    assert not edit.mask_B1HW.any() and not edit.layer_areas_BL.any()


@every_method
@pytest.mark.parametrize("layers", [(), (0, 1), (1, 4, 6)])
def test_outside_the_user_mask_the_source_keeps_every_pixel(
    method: str, layers: tuple[int, ...], models: Models, inversion: Inversion
) -> None:
    source = within(inversion, left_half(32))
    final = composite(red(moved(method, models, inversion), source, Limits(layers=layers)), source, "source").image_BCHW
    assert torch.equal(final[..., 16:], inversion.image_BCHW[..., 16:])
    assert all(sample_CHW.any() for sample_CHW in final[..., :16] != inversion.image_BCHW[..., :16])


@every_method
def test_a_user_mask_applies_to_its_own_sample(method: str, models: Models, inversion: Inversion) -> None:
    editor = moved(method, models, inversion)
    mixed = within(inversion, torch.tensor([0.0, 1.0, 0.0, 1.0]).view(4, 1, 1, 1))
    image_BCHW = red(editor, mixed).image_BCHW
    assert torch.equal(image_BCHW[[0, 2]], inversion.recon_BCHW[[0, 2]])
    torch.testing.assert_close(image_BCHW[[1, 3]], red(editor, inversion).image_BCHW[[1, 3]], atol=1e-5, rtol=0)


@every_method
def test_layers_outside_the_limits_are_not_edited(method: str, models: Models, inversion: Inversion) -> None:
    """The features of layers before the first allowed one are those of the unedited render; later ones change."""
    editor = moved(method, models, inversion)
    edit = red(editor, inversion, Limits(layers=(3, 5)))
    plain = red(editor, inversion)
    areas_BL = edit.layer_areas_BL
    assert not areas_BL[:, [0, 1, 2, 4, 6]].any()
    if cuts(method):  # its region depends on the edited image
        assert (areas_BL[:, [3, 5]] <= plain.layer_areas_BL[:, [3, 5]]).all()
    else:
        assert torch.equal(areas_BL[:, [3, 5]], plain.layer_areas_BL[:, [3, 5]])
        assert torch.equal(areas_BL, losses.layer_areas(edit.masks))
    change = (edit.image_BCHW - inversion.recon_BCHW).abs().mean()
    assert change < (plain.image_BCHW - inversion.recon_BCHW).abs().mean()
    features, untouched = [], []
    generator = models.generator
    generator.render(generator.styles(inversion.ws_BLD), features=untouched)
    other = generator.styles(inversion.ws_BLD + 1)
    generator.render(generator.styles(inversion.ws_BLD), other, edit.masks, features)
    same = [torch.equal(one, other) for one, other in zip(features, untouched, strict=True)]
    first = next(layer for layer, mask_B1HW in enumerate(edit.masks) if mask_B1HW.any())
    assert same == [True] * first + [False] * (7 - first)
    assert first == 3 or (cuts(method) and first == 5)


@every_method
def test_an_edit_of_coarse_layers_only_is_visible_on_its_source(
    method: str, models: Models, inversion: Inversion
) -> None:
    edit = red(moved(method, models, inversion), inversion, Limits(layers=(0, 2)))
    if not cuts(method) or spec(method).scope is FitScope.BASE:
        assert edit.mask_B1HW.mean((1, 2, 3)).tolist() == pytest.approx(edit.layer_areas_BL[:, 2].tolist(), abs=1e-3)
    assert not torch.equal(composite(edit, inversion, "source").image_BCHW, inversion.image_BCHW)


def test_values_below_the_threshold_become_zero_and_others_stay() -> None:
    masks = random_masks()
    for mask, cut in zip(masks, limited(masks, Limits(threshold=0.4), blank(), SIZES) or (), strict=True):
        assert torch.equal(cut, mask * (mask >= 0.4))


def test_a_threshold_reduces_areas_and_mask(models: Models, inversion: Inversion) -> None:
    editor = moved("coral-direction-attention", models, inversion)
    areas, means = [], []
    for threshold in (0.0, 0.3, 0.6, 0.9):
        edit = red(editor, inversion, Limits(threshold=threshold))
        assert torch.equal(edit.layer_areas_BL, losses.layer_areas(edit.masks))
        areas.append(edit.layer_areas_BL.mean().item())
        means.append(edit.mask_B1HW.mean().item())
    assert areas == sorted(areas, reverse=True) and areas[-1] < 0.5 * areas[0]
    assert means == sorted(means, reverse=True)


def test_a_threshold_does_not_change_an_editor_without_regions(models: Models, inversion: Inversion) -> None:
    edit = red(moved("styleclip-mapper", models, inversion), inversion, Limits(threshold=0.9))
    assert edit.masks == () and edit.mask_B1HW.eq(1).all()


def test_a_user_mask_is_averaged_per_layer_and_not_thresholded() -> None:
    user_HW = torch.zeros(16, 16)
    user_HW[:4, :2] = 1  # half of the first pixel at 4 px
    user_HW[8:, 8:] = 0.25
    kept = limited(None, Limits(threshold=0.5), within(blank(), user_HW), SIZES)
    assert kept is not None and [mask.shape[-1] for mask in kept] == list(SIZES)
    assert kept[0][1, 0].tolist() == [[0.5, 0, 0, 0], [0] * 4, [0, 0, 0.25, 0.25], [0, 0, 0.25, 0.25]]
    assert torch.equal(kept[3][2, 0], user_HW)


def test_a_grey_user_mask_is_applied_once_to_the_mask_of_the_image(models: Models, inversion: Inversion) -> None:
    edit = red(moved("styleclip-mapper", models, inversion), within(inversion, 0.5))
    assert edit.mask_B1HW.eq(0.5).all() and edit.layer_areas_BL.eq(0.5).all()


@pytest.mark.parametrize("threshold", [-0.1, 1.0, 7.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=rf"threshold is {threshold}; give a number from 0.*below 1"):
        Limits(threshold=threshold)


@every_method
def test_a_layer_that_the_generator_does_not_have_is_refused(method: str, models: Models, inversion: Inversion) -> None:
    with pytest.raises(ValueError, match=r"layers has -1, 7; .* 0 \(4 px\), 1 \(8 px\), 2 \(8 px\).* 6 \(32 px\)$"):
        red(moved(method, models, inversion), inversion, Limits(layers=(7, -1, 2)))


def test_user_masks_of_another_shape_are_refused() -> None:
    wrong = replace(blank(), user_mask_B1HW=torch.ones(3, 1, 8, 8))
    with pytest.raises(ValueError, match=r"shape \(3, 1, 8, 8\); these images want \[3, 1, 16, 16\]"):
        limited(None, UNLIMITED, wrong, SIZES)


def test_the_order_of_layers_does_not_matter() -> None:
    assert Limits(layers=(5, 3, 3)) == Limits(layers=(3, 5))


def test_parts_of_batches_keep_their_user_masks(inversion: Inversion) -> None:
    masked = within(inversion, torch.arange(4.0).view(4, 1, 1, 1) / 4)
    assert masked.user_mask_B1HW is not None
    part = take(masked, torch.tensor([2, 0]))
    assert part.user_mask_B1HW is not None and torch.equal(part.user_mask_B1HW, masked.user_mask_B1HW[[2, 0]])
    assert take(inversion, slice(0, 2)).user_mask_B1HW is None
    assert concat_inversions([inversion, inversion]).user_mask_B1HW is None
    both = concat_inversions([part, inversion]).user_mask_B1HW
    assert both is not None and both.mean((1, 2, 3)).tolist() == [0.5, 0.0, 1.0, 1.0, 1.0, 1.0]
