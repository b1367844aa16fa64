"""CLIPInverter's edits, limited to CORAL's regions, which are fitted for one prompt.

Papers: arXiv 2307.08397 for the edit, arXiv 2303.05031 for the regions. The fitted ClipInverter gives the edited styles
and does not change; per prompt, only the region is fitted, by the losses of prompt_editor.py. Neither paper has this:
the first has no masks, the second fits one latent edit per prompt.
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
        self._inverter = (inverter,)  # in a tuple, so that it is not in state_dict(): it is an artifact of its own

    @classmethod
    def assemble(
        cls, region: type[Region], config: RegionConfig, prompt: Prompt, models: Models, base: Editor
    ) -> CoralInverter:
        """An editor that is not fitted, with a region of the sizes of the bundle's generator and the fitted `base`."""
        assert isinstance(base, ClipInverter), "the table says what this builds upon"
        return cls(models, prompt, region.of(models), config, base)

    def edited(self, batch: Inversion, strength: float = 1.0) -> tuple[Styles, Tensor]:
        (inverter,) = self._inverter
        return inverter.styles(batch, [self.prompt] * len(batch.keys), strength), torch.zeros(0)
