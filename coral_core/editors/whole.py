"""What editors without regions share: their edit claims the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from coral_core.types import Edit, Prompt

if TYPE_CHECKING:
    from coral_core.nets.stylegan2 import Generator


def whole_edit(image_BCHW: Tensor, generator: Generator) -> Edit:
    """An edit whose mask is one everywhere and in every convolution layer."""
    count = len(image_BCHW)
    return Edit(
        image_BCHW=image_BCHW,
        mask_B1HW=image_BCHW.new_ones(count, 1, *image_BCHW.shape[2:]),
        layer_areas_BL=image_BCHW.new_ones(count, len(generator.conv_sizes)),
    )


def check_prompts(prompts: Sequence[Prompt], count: int) -> None:
    """ValueError unless there is one prompt per sample and each asks for a change."""
    if len(prompts) != count:
        raise ValueError(f"{len(prompts)} prompts for {count} samples; give one prompt per sample")
    for prompt in dict.fromkeys(prompts):
        if prompt.target == prompt.source:
            raise ValueError(f"{prompt}: target and source say the same, so there is nothing to edit; change one")
