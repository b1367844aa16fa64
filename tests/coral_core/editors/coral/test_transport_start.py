"""Latent edits that start at transport's edit of each sample, and regions around transport."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from coral_core.bundle.models import Models
from coral_core.editors.coral.coral import CoralEditor
from coral_core.editors.coral.prompt_config import LatentConfig, RegionConfig
from coral_core.editors.coral.region_editor import RegionEditor
from coral_core.editors.latent.slots import GlobalDirection, LevelMapper
from coral_core.editors.regions.attention import ConvAttention
from coral_core.editors.regions.region import WholeImage
from coral_core.editors.transport.transport import Transport
from coral_core.fit import FitConfig
from coral_core.types import Inversion
from tests.coral_core.editors.small_editors import RED, build

SLOTS = pytest.mark.parametrize("slot", [GlobalDirection, LevelMapper])


@pytest.fixture
def transport(models: Models) -> Transport:
    editor = build("coral-transport-attention", models)
    assert isinstance(editor, RegionEditor)
    (base,) = editor._base
    assert isinstance(base, Transport)
    return base


def started(
    transport: Transport, slot: type[GlobalDirection | LevelMapper], source: Inversion, *levels: str
) -> CoralEditor:
    """An editor of the whole image before the first step of its fit."""
    config = LatentConfig(levels=levels) if levels else LatentConfig()
    editor = CoralEditor.assemble(slot, WholeImage, config, RED, transport.models, transport)
    editor.prepare(source)
    return editor


@SLOTS
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_the_start_of_a_fit_is_the_edit_of_transport(
    slot: type[GlobalDirection | LevelMapper], strength: float, transport: Transport, inversion: Inversion
) -> None:
    image_BCHW = started(transport, slot, inversion).edit(inversion, [RED] * 4, strength=strength).image_BCHW
    expected = transport.edit(inversion, [RED] * 4, strength=strength).image_BCHW
    torch.testing.assert_close(image_BCHW, expected, atol=1e-5, rtol=0)
    moved = (image_BCHW - inversion.recon_BCHW).abs().max()
    assert moved > 0.01 if strength else moved < 1e-6


@SLOTS
def test_the_start_of_an_edit_that_is_limited_to_levels_leaves_the_others_unchanged(
    slot: type[GlobalDirection | LevelMapper], transport: Transport, inversion: Inversion
) -> None:
    editor, ws_BLD = started(transport, slot, inversion, "medium"), inversion.ws_BLD
    moved_BLD = editor._edited_ws(ws_BLD, editor._start(inversion), editor.latent(ws_BLD)) - ws_BLD
    assert not moved_BLD[:, :4].any()
    assert moved_BLD[:, 4:8].any(2).all()


def test_regions_are_measured_by_the_edit_at_the_start(transport: Transport, inversion: Inversion) -> None:
    editor = started(transport, GlobalDirection, inversion)
    assert isinstance(editor.latent, GlobalDirection)
    torch.nn.init.ones_(editor.latent.direction_LD)  # as if learned
    plain_BCHW = editor.models.generator.render(editor.edited(inversion)[0]).clamp(-1, 1)
    start_BCHW = transport.edit(inversion, [RED] * 4).image_BCHW
    assert (plain_BCHW - start_BCHW).abs().mean() > 0.01
    torch.testing.assert_close(editor.whole_in_fit(inversion, plain_BCHW), start_BCHW, atol=1e-5, rtol=0)


def test_the_embedding_term_is_zero_where_the_image_has_the_embedding_of_transport(
    transport: Transport, inversion: Inversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = started(transport, LevelMapper, inversion)
    config = replace(editor.config, embedding=3.0)
    monkeypatch.setattr(editor, "config", config)
    target_BE = transport.target_embedding(inversion, [RED] * 4)
    image_BE = editor.models.clip.image(transport.edit(inversion, [RED] * 4).image_BCHW)
    terms = editor.losses(inversion, editor.stages()[0])
    expected = 3 * (1 - torch.cosine_similarity(image_BE, target_BE)).mean()
    torch.testing.assert_close(terms["embedding"], expected, atol=1e-4, rtol=1e-3)


def test_a_fit_nears_the_embedding_of_transport(transport: Transport, inversion: Inversion) -> None:
    config = LatentConfig(clip=0.0, directional=0.0, embedding=4.0, l2=0.0, latent_rate=0.05)
    editor = CoralEditor.assemble(GlobalDirection, WholeImage, config, RED, transport.models, transport)
    editor.prepare(inversion)
    target_BE = transport.target_embedding(inversion, [RED] * 4)

    def cosine() -> Tensor:
        image_BE = editor.models.clip.image(editor.edit(inversion, [RED] * 4).image_BCHW)
        return torch.cosine_similarity(image_BE, target_BE).mean()

    before = cosine()
    editor.fit(inversion, FitConfig(steps=30, batch_size=4, precision="float32"))
    assert cosine() > before


@SLOTS
def test_every_parameter_learns_from_the_start(
    slot: type[GlobalDirection | LevelMapper], transport: Transport, inversion: Inversion
) -> None:
    editor = started(transport, slot, inversion)
    before = {name: value.clone() for name, value in editor.named_parameters()}
    kept = {name: value.clone() for name, value in transport.state_dict().items()}
    editor.fit(inversion, FitConfig(steps=6, batch_size=4))
    assert all(not torch.equal(value, before[name]) for name, value in editor.named_parameters())
    assert all(torch.equal(value, kept[name]) for name, value in transport.state_dict().items())
    assert not any("base" in name for name in editor.state_dict())


@pytest.mark.parametrize("region", [False, True])
def test_a_fit_asks_transport_once_for_each_sample(
    region: bool, transport: Transport, inversion: Inversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    found = transport.displacement

    def displacement(part: Inversion, prompts: object) -> Tensor:
        asked.extend(part.keys)
        return found(part, [RED] * len(part.keys))

    monkeypatch.setattr(transport, "displacement", displacement)
    models = transport.models
    editor = (
        RegionEditor.assemble(ConvAttention, RegionConfig(embedding=4.0), RED, models, transport)
        if region
        else CoralEditor.assemble(LevelMapper, WholeImage, LatentConfig(embedding=4.0), RED, models, transport)
    )
    editor.fit(inversion, FitConfig(steps=6, batch_size=2))
    assert sorted(asked) == sorted(inversion.keys)


def test_a_text_that_transport_cannot_read_is_refused(transport: Transport, inversion: Inversion) -> None:
    transport.embeddings.store(torch.ones_like(transport.embeddings()))
    transport._forget()
    with pytest.raises(ValueError, match="distinguishes nothing"):
        started(transport, GlobalDirection, inversion).check([RED])
