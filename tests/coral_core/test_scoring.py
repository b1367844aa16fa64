from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.scoring import outside, score
from coral_core.types import Edit, Inversion, Prompt

RED = Prompt("red")


def coloured(inversion: Inversion, colour: tuple[float, float, float], mask: float = 1.0) -> Edit:
    image_BCHW = torch.tensor(colour).view(1, 3, 1, 1).expand_as(inversion.image_BCHW).clone()
    return Edit(image_BCHW, torch.full_like(image_BCHW[:, :1], mask), torch.ones(len(image_BCHW), 1))


def test_every_score_is_one_float_per_sample_without_gradient(models: Models, inversion: Inversion) -> None:
    scores = score(coloured(inversion, (1, -1, -1)), inversion, [RED] * 4, models)
    for field in fields(scores):
        value = getattr(scores, field.name)
        assert value.shape == (4,)
        assert value.dtype == torch.float32
        assert not value.requires_grad


def test_the_right_colour_scores_above_the_wrong_one(models: Models, inversion: Inversion) -> None:
    right = score(coloured(inversion, (1, -1, -1)), inversion, [RED] * 4, models)
    wrong = score(coloured(inversion, (-1, -1, 1)), inversion, [RED] * 4, models)
    assert (right.clip_edit_B > wrong.clip_edit_B).all()
    assert (right.direction_B > wrong.direction_B).all()
    assert torch.equal(right.clip_source_B, wrong.clip_source_B)


def test_no_edit_scores_as_the_source(models: Models, inversion: Inversion) -> None:
    scores = score(
        replace(coloured(inversion, (0, 0, 0)), image_BCHW=inversion.image_BCHW), inversion, [RED] * 4, models
    )
    torch.testing.assert_close(scores.clip_edit_B, scores.clip_source_B)
    torch.testing.assert_close(scores.identity_B, torch.ones(4))
    assert scores.direction_B.abs().max() < 1e-6
    assert scores.outside_B.abs().max() == 0


def test_prompts_are_per_sample(models: Models, inversion: Inversion) -> None:
    edit = coloured(inversion, (1, -1, -1))
    mixed = score(edit, inversion, [RED, Prompt("blue"), RED, Prompt("blue")], models).clip_edit_B
    assert mixed[0] > mixed[1]
    with pytest.raises(ValueError, match="3 prompts for 4 samples"):
        score(edit, inversion, [RED] * 3, models)


def test_outside_weights_changes_by_one_minus_the_mask(inversion: Inversion) -> None:
    source_BCHW = inversion.image_BCHW
    mask_B1HW = torch.zeros_like(source_BCHW[:, :1])
    mask_B1HW[..., :16] = 1
    change_B1HW = torch.where(mask_B1HW > 0, 5.0, 0.25)
    edit = Edit(source_BCHW + change_B1HW, mask_B1HW, torch.ones(4, 1))
    torch.testing.assert_close(outside(edit, source_BCHW), torch.full((4,), 0.25))


def test_what_an_editor_claimed_is_scored_where_its_mask_is_less(models: Models, inversion: Inversion) -> None:
    edit = replace(coloured(inversion, (1.0, -1.0, -1.0), mask=0.25), claimed_B1HW=torch.full((4, 1, 32, 32), 0.75))
    scores = score(edit, inversion, [RED] * 4, models)
    assert torch.equal(scores.area_B, torch.full((4,), 0.75))
    assert torch.equal(scores.effective_area_B, torch.full((4,), 0.25))
    whole = score(replace(edit, claimed_B1HW=torch.ones(4, 1, 32, 32)), inversion, [RED] * 4, models)
    assert torch.equal(whole.outside_B, torch.zeros(4)) and scores.outside_B.min() > 0


def test_outside_is_zero_where_the_mask_covers_everything(inversion: Inversion) -> None:
    edit = coloured(inversion, (1, 1, 1), mask=1.0)
    assert torch.equal(outside(edit, inversion.image_BCHW), torch.zeros(4))
