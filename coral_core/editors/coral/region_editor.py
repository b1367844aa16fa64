"""The edits of a fitted base editor, limited to CORAL's regions, which are fitted for one prompt.

Paper: arXiv 2303.05031 for the regions. The base gives the edited styles and does not change; per prompt, only the
region is fitted, by the losses of prompt_editor.py. This is not in the papers: those of the bases have no masks
(`clipinverter`: arXiv 2307.08397; `transport` is our own), and that of the regions fits one latent edit per prompt.

In a fit, the styles of the base are computed once per sample, because they do not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coral_core.editors.base import Editor, StyleEditor
from coral_core.editors.coral.prompt_config import RegionConfig
from coral_core.editors.coral.prompt_editor import PromptEditor
from coral_core.editors.regions.region import Region
from coral_core.editors.source_cache import SourceCache
from coral_core.types import Inversion, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models


class RegionEditor(PromptEditor):
    """A region slot around a fitted base editor, fitted for one prompt."""

    @classmethod
    def assemble(
        cls, region: type[Region], config: RegionConfig, prompt: Prompt, models: Models, base: Editor
    ) -> RegionEditor:
        """An editor that is not fitted, with a region of the sizes of the bundle's generator and the fitted `base`."""
        assert isinstance(base, StyleEditor), "the table says what this builds upon"
        return cls(models, prompt, region.of(models), config, base)

    def edited(self, batch: Inversion, strength: float = 1.0) -> tuple[Styles, Tensor]:
        return self._styles(batch, strength), torch.zeros(0)

    def edited_in_fit(self, batch: Inversion) -> tuple[Styles, Tensor]:
        joined_BC = self._fit_styles(batch)
        widths = [style.shape[1] for style in self.models.generator.styles(batch.ws_BLD[:1])]
        return joined_BC.split(widths, 1), torch.zeros(0)

    def clear_cache(self) -> None:
        super().clear_cache()
        self._fit_styles = SourceCache(lambda part: torch.cat(self._styles(part, 1.0), 1))

    def _styles(self, batch: Inversion, strength: float) -> Styles:
        (base,) = self._base
        assert base is not None, "assemble() gives one"
        return base.styles(batch, [self.prompt] * len(batch.keys), strength)
