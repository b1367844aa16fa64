from __future__ import annotations

import torch

from coral_core.bundle.models import Models
from coral_core.editors.regions.attention import ConvAttention, LayerAttention
from coral_core.types import Inversion


def test_one_mask_per_convolution_near_one_half(models: Models, inversion: Inversion) -> None:
    region = ConvAttention.of(models)
    region.prepare(inversion, models.generator)
    masks = region(inversion, models.generator)
    assert masks is not None
    assert [mask.shape for mask in masks] == [(4, 1, size, size) for size in models.generator.conv_sizes]
    for mask in masks:
        assert mask.min() > 0
        assert mask.max() < 1
        assert 0.3 < mask.mean() < 0.7


def test_masks_do_not_depend_on_the_scale_of_the_features() -> None:
    torch.manual_seed(0)
    layer, feature_BCHW = LayerAttention(6), torch.randn(4, 6, 8, 8)
    layer.standardise(feature_BCHW)
    mask_B1HW = layer(feature_BCHW)
    layer.standardise(feature_BCHW * 50 + 9)
    torch.testing.assert_close(layer(feature_BCHW * 50 + 9), mask_B1HW, atol=1e-4, rtol=0)


def test_a_constant_channel_gives_finite_masks() -> None:
    layer, feature_BCHW = LayerAttention(3), torch.randn(4, 3, 8, 8)
    feature_BCHW[:, 1] = 2.0
    layer.standardise(feature_BCHW)
    assert layer(feature_BCHW).isfinite().all()
