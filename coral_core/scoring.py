"""Scores of an edit: seven numbers per sample (types.Scores), without gradients; thresholds are applied elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from coral_core.types import Edit, Inversion, Prompt, Scores

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

SCORE_READS = ("clip", "identity")
"""Bundle parts whose digests enter the id of a scored result, in addition to those that the editor reads."""


@torch.no_grad()
def score(edit: Edit, inversion: Inversion, prompts: Sequence[Prompt], models: Models) -> Scores:
    """Compare each edit with its source image (not the reconstruction) and its prompt. Every field is float32 [B].

    Errors: ValueError unless there is one prompt per sample.
    """
    if len(prompts) != len(inversion.keys):
        raise ValueError(f"{len(prompts)} prompts for {len(inversion.keys)} samples; give one prompt per sample")
    both_CHW = torch.cat([inversion.image_BCHW, edit.image_BCHW])
    source_BE, edit_BE = models.clip.image(both_CHW).float().chunk(2)
    source_BI, edit_BI = models.identity(both_CHW).float().chunk(2)
    text_BE = models.clip.text([prompt.target for prompt in prompts]).float()
    return Scores(
        clip_source_B=F.cosine_similarity(source_BE, text_BE),
        clip_edit_B=F.cosine_similarity(edit_BE, text_BE),
        direction_B=F.cosine_similarity(edit_BE - source_BE, models.clip.direction(prompts).float()),
        identity_B=F.cosine_similarity(source_BI, edit_BI),
        outside_B=outside(edit, inversion.image_BCHW),
        area_B=_claimed(edit).mean((1, 2, 3)),
        effective_area_B=edit.mask_B1HW.float().mean((1, 2, 3)),
    )


def outside(edit: Edit, source_BCHW: Tensor) -> Tensor:
    """Mean |edit - source| weighted by 1 - mask, images in [-1,1]. [B], 0 to 2; 0 where the mask covers everything.

    Of the mask that the editor chose: what it claims is not hidden from a gate when less of it is used.
    """
    outside_BHW = 1 - _claimed(edit)[:, 0]
    change_BHW = (edit.image_BCHW.float() - source_BCHW.float()).abs().mean(1)
    return (change_BHW * outside_BHW).sum((1, 2)) / outside_BHW.sum((1, 2)).clamp_min(1e-6)


def _claimed(edit: Edit) -> Tensor:
    return (edit.mask_B1HW if edit.claimed_B1HW is None else edit.claimed_B1HW).float()
