"""CLIPInverter's edits in CORAL's regions: what any text asks for at once, where and in which layers it is needed.

Papers: arXiv 2307.08397 for the edit, arXiv 2303.05031 for the regions. The fitted ClipInverter gives the edited styles
and does not change; per prompt, only the region is fitted, by the losses of prompted.py. Neither paper has this: the
first has no masks, the second one latent edit per prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coral_core.editors.base import Editor
from coral_core.editors.clipinverter.clipinverter import ClipInverter
from coral_core.editors.coral.prompt_editor import PromptEditor, RegionConfig
from coral_core.editors.regions.region import Region
from coral_core.types import Inversion, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models


class CoralInverter(PromptEditor):
    """A region slot around a fitted ClipInverter, fitted for one prompt."""

    def __init__(
        self, models: Models, prompt: Prompt, region: Region, config: RegionConfig, inverter: ClipInverter
    ) -> None:
        super().__init__(models, prompt, region, config)
        self._inverter = (inverter,)  # in a tuple: an artifact of its own, no part of this one

    @classmethod
    def assemble(
        cls, region: type[Region], config: RegionConfig, prompt: Prompt, models: Models, base: Editor
    ) -> CoralInverter:
        """One whose region has the sizes of the bundle's generator."""
        assert isinstance(base, ClipInverter), "the table says what this builds upon"
        return cls(models, prompt, region.of(models), config, base)

    def edited(self, batch: Inversion, strength: float = 1.0) -> tuple[Styles, Tensor]:
        (inverter,) = self._inverter
        return inverter.styles(batch, [self.prompt] * len(batch.keys), strength), torch.zeros(0)
