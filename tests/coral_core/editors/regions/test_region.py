from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.editors.regions.attention import ConvAttention
from coral_core.editors.regions.region import WholeImage, image_mask, plain_features
from coral_core.types import Inversion


def test_unedited_features_are_those_of_every_convolution(models: Models, inversion: Inversion) -> None:
    features = plain_features(models.generator, inversion.ws_BLD)
    assert [feature.shape[1:] for feature in features] == [
        (channels, size, size)
        for channels, size in zip(models.generator.conv_channels, models.generator.conv_sizes, strict=True)
    ]
    assert not any(feature.requires_grad for feature in features)


def test_the_whole_image_has_no_masks_and_nothing_to_learn(models: Models, inversion: Inversion) -> None:
    region = WholeImage()
    assert region(inversion, models.generator) is None
    assert not region.state_dict()


def test_the_mask_of_the_image_is_the_maximum_of_the_finer_masks() -> None:
    masks = tuple(torch.zeros(1, 1, size, size) for size in (4, 8, 16, 32))
    masks[0].fill_(1)
    masks[1].fill_(1)
    assert not image_mask(masks, 32).any()
    masks[2][..., :8, :] = 0.5
    masks[3][..., :16] = 0.75
    mask_HW = image_mask(masks, 32)[0, 0]
    assert mask_HW[0, 0] == 0.75
    assert mask_HW[0, -1] == 0.5
    assert mask_HW[-1, -1] == 0
    assert mask_HW[-1, 0] == 0.75


@pytest.mark.parametrize("image_size", [8, 64])
def test_the_mask_of_the_image_has_its_size(
    make_models: Callable[..., Models], make_inversion: Callable[..., Inversion], image_size: int
) -> None:
    models = make_models(image_size=image_size)
    masks = ConvAttention.of(models)(make_inversion(models, 2), models.generator)
    assert masks is not None
    assert image_mask(masks, image_size).shape == (2, 1, image_size, image_size)
