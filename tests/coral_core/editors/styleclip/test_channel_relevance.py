from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.editors.latent.regression import ridge
from coral_core.editors.styleclip.channel_relevance import (
    RelevanceInputs,
    relevance_by_perturbation,
    relevance_by_regression,
    with_channel,
)
from coral_core.fit import FitConfig
from coral_core.types import Inversion


def make_inputs(models: Models, source: Inversion, images: int = 3) -> RelevanceInputs:
    styles_NC = torch.cat(models.generator.styles(source.ws_BLD), dim=1)
    std_C, mean_C = torch.std_mean(styles_NC, 0, correction=0)
    return RelevanceInputs(models, source, mean_C, std_C, FitConfig(precision="float32"), images, None)


@torch.no_grad()
def test_a_channel_without_effect_has_no_relevance(
    make_models: Callable[..., Models], make_inversion: Callable[..., Inversion]
) -> None:
    models = make_models(image_size=16, width=6)
    models.generator.convs[0].conv.weight[:, 2] = 0  # its style is read, and changes nothing
    lengths_C = relevance_by_perturbation(make_inputs(models, make_inversion(models, 4))).norm(dim=1)
    assert lengths_C[2] == 0
    others_C = lengths_C[torch.arange(len(lengths_C)) != 2]
    torch.testing.assert_close(others_C, torch.ones_like(others_C))


@torch.no_grad()
def test_moving_a_channel_towards_its_relevance_moves_clip_there(
    make_models: Callable[..., Models], make_inversion: Callable[..., Inversion]
) -> None:
    models = make_models(image_size=16, width=6)
    source = make_inversion(models, 6)
    inputs = make_inputs(models, source, images=6)
    relevance_CE = relevance_by_perturbation(inputs)
    plain = models.generator.styles(source.ws_BLD)
    for channel in (0, 3, 5):
        value = inputs.mean_C[channel] + 5 * inputs.std_C[channel]
        change_BE = inputs.embed(with_channel(plain, 0, channel, value)) - inputs.embed(plain)
        assert (change_BE @ relevance_CE[channel]).mean() > 0


def test_changing_a_channel_leaves_the_other_styles_unchanged(models: Models, inversion: Inversion) -> None:
    plain = models.generator.styles(inversion.ws_BLD)
    before = [style_BC.clone() for style_BC in plain]
    changed = with_channel(plain, 1, 4, torch.tensor(9.0))
    assert (changed[1][:, 4] == 9).all()
    assert all(torch.equal(a, b) for a, b in zip(plain, before, strict=True))


@torch.no_grad()
def test_regression_finds_channels_that_follow_the_embedding(
    models: Models, make_inversion: Callable[..., Inversion]
) -> None:
    source = make_inversion(models, 64)
    inputs = make_inputs(models, source)
    relevance_CE = relevance_by_regression(inputs)
    plain = models.generator.styles(source.ws_BLD)
    e_NE, s_NC = inputs.embed(plain), torch.cat(plain, dim=1)
    best = int(relevance_CE.norm(dim=1).argmax())
    predicted_N = (e_NE - e_NE.mean(0)) @ relevance_CE[best]
    assert torch.corrcoef(torch.stack([predicted_N, s_NC[:, best]]))[0, 1] > 0.7
    assert relevance_CE.norm(dim=1).max() == pytest.approx(1, abs=1e-5)


def test_a_channel_that_never_varies_has_no_relevance(models: Models, inversion: Inversion) -> None:
    still = replace(inversion, ws_BLD=inversion.ws_BLD[:1].expand(4, -1, -1))
    assert not relevance_by_regression(make_inputs(models, still)).any()


def test_ridge_finds_slopes_and_shrinks_them() -> None:
    draw = torch.Generator().manual_seed(0)
    x_NE, slope_EC = torch.randn(2000, 3, generator=draw), torch.tensor([[1.0, 0.0], [-2.0, 0.5], [0.0, 3.0]])
    torch.testing.assert_close(ridge(x_NE, x_NE @ slope_EC, 0.0), slope_EC, atol=1e-3, rtol=0)
    torch.testing.assert_close(ridge(x_NE, x_NE @ slope_EC, 1.0), slope_EC / 2, atol=0.1, rtol=0)
