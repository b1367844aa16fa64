"""The edit to which CLIPInverter's residual is added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coral_core.editors.transport.transport import Transport
from coral_core.editors.wishes import wishes_of
from coral_core.inversion import take
from coral_core.types import Inversion, Prompt


@dataclass(frozen=True)
class Start:
    """Changes of w. K is the largest number of wishes of a sample."""

    fixed_BD: Tensor  # the same for all layers
    change_BKD: Tensor  # by each wish, to be multiplied by its factors of the layers; zeros where there are fewer
    wish_BKE: Tensor  # the embeddings of the wishes; zeros where there are fewer

    @property
    def whole(self) -> Tensor:
        """The whole change with factors of 1."""
        return self.fixed_BD + self.change_BKD.sum(1)


def fixed_start(fixed_BD: Tensor, text_BE: Tensor) -> Start:
    """A start without wishes."""
    return Start(fixed_BD, fixed_BD[:, None][:, :0], text_BE[:, None][:, :0])


@torch.no_grad()
def transport_start(base: Transport, inversion: Inversion, prompts: Sequence[Prompt]) -> Start:
    """The change by each wish, and for a prompt with a reference image the decoded change to its embedding."""
    fixed_BD, clip = torch.zeros_like(inversion.ws_BLD[:, 0]), base.models.clip
    said = [index for index, prompt in enumerate(prompts) if not prompt.look]
    looking = [index for index, prompt in enumerate(prompts) if prompt.look]
    if looking:
        look_BE = torch.tensor([prompts[index].look for index in looking]).to(fixed_BD)
        fixed_BD[looking] = base.decoded_change(take(inversion, torch.tensor(looking)), look_BE)
    wishes = [sorted(wishes_of(prompts[index])) for index in said]
    most = max(map(len, wishes), default=0)
    change_BKD = fixed_BD.new_zeros(len(prompts), most, fixed_BD.shape[1])
    wish_BKE = fixed_BD.new_zeros(len(prompts), most, clip.width)
    if said:
        part = take(inversion, torch.tensor(said))
        change_BKD[said] = base.changes(part, [prompts[index] for index in said])
    for index, texts in zip(said, wishes, strict=True):
        wish_BKE[index, : len(texts)] = clip.text(texts)
    return Start(fixed_BD, change_BKD, wish_BKE)
