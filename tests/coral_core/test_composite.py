from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from coral_core.composite import composite
from coral_core.types import Edit, Inversion


@pytest.fixture
def edit(inversion: Inversion) -> Edit:
    image_BCHW = torch.rand_like(inversion.image_BCHW) * 2 - 1
    masks = (torch.rand_like(image_BCHW[:, :1, :4, :4]),)
    return Edit(image_BCHW, torch.rand_like(image_BCHW[:, :1]), torch.rand(len(image_BCHW), 1), masks)


def test_reconstruction_is_the_raw_edit(edit: Edit, inversion: Inversion) -> None:
    assert composite(edit, inversion, "reconstruction") is edit


def test_source_pixels_are_kept_bit_for_bit_where_the_mask_is_zero(edit: Edit, inversion: Inversion) -> None:
    mask_B1HW = (edit.mask_B1HW > 0.5).float()
    on = mask_B1HW.bool().expand_as(edit.image_BCHW)
    image_BCHW = composite(replace(edit, mask_B1HW=mask_B1HW), inversion, "source").image_BCHW
    assert torch.equal(image_BCHW[~on], inversion.image_BCHW[~on])
    assert torch.equal(image_BCHW[on], edit.image_BCHW[on])


def test_soft_masks_interpolate_and_masks_and_areas_stay(edit: Edit, inversion: Inversion) -> None:
    half = replace(edit, mask_B1HW=torch.full_like(edit.mask_B1HW, 0.5))
    onto = composite(half, inversion, "source")
    torch.testing.assert_close(onto.image_BCHW, (edit.image_BCHW + inversion.image_BCHW) / 2)
    assert onto.mask_B1HW is half.mask_B1HW
    assert onto.layer_areas_BL is half.layer_areas_BL
    assert onto.masks is half.masks


def test_an_unknown_composite_lists_the_known_ones(edit: Edit, inversion: Inversion) -> None:
    with pytest.raises(ValueError, match=r"sauce.*source, reconstruction"):
        composite(edit, inversion, "sauce")  # type: ignore[arg-type]
