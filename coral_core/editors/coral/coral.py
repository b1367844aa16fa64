"""CoralStyleCLIP: a latent edit that is limited to the regions and layers that the text needs.

Paper: arXiv 2303.05031. With plain styles s, edited styles s' = styles(w + strength * S^(1/2) delta) and layer masks m,
the image I* is the blended render of (s, s', m) and Ibar* the plain render of s'. Fitted per prompt on
    L = clip * L_clip + directional * L_dir + embedding * L_embedding + l2 * |delta|^2 + identity * L_id
        + area * L_area + unneeded * L_unneeded + complete * L_complete + total_variation * L_tv + keep * L_keep,
L_clip, L_dir and L_embedding are averaged over I* and Ibar*. Without the second image, weak masks and a weak edit could
together be a minimum. With WholeImage there is one image and no mask term, which is the mapper of StyleCLIP (arXiv
2103.17249).

Deviations and why:
- Every term is a mean over entries and samples (losses.py); the unit of delta is the covariance of w (whitening.py).
- L_dir, the directional CLIP term, is not in the paper. A small CLIP of one domain places images of a kind close to the
  texts of that kind; the difference of two texts names the change and nothing else.
- Both CLIP terms are hinges: they are zero from the options `clip_enough` and `directional_enough` on, which are the
  similarities of real images with texts that are true of them. A higher similarity fits the network but makes no
  better image; from the bound on, the other terms make the edit small.
- The fit starts near the edit, and |delta|^2 counts from there: s' = styles(w + strength * (start + S^(1/2) delta)).
  Far from the edit, CLIP's gradient leads to patterns instead. `start` is `transport`: the change of each sample's w by
  the fitted method of this name (../transport/); a mapper's first output is then zero. Or `regression`: one direction
  for all samples, by the regression of w on CLIP embeddings (text_regression.py), at the length that is best for the
  CLIP terms on a few samples. Or `none`. Mappers start at transport by default, directions at the regression.
- L_embedding (prompt_editor.py) takes the place of L_clip and L_dir in a fit that starts at transport.
- L_keep = mean of (1 - mask) |I* - G(w)| is not in the paper. Coarse layers have effects beyond their masks; this term
  limits an edit to its mask.
- L_unneeded and L_complete (prompt_editor.py) are not in the paper: masks claimed far more pixels than the edit
  changes, and fits gave parts of an edit up for a smaller area.
- Weights, learning rates and steps of the paper are not public; the defaults are our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coral_core.editors.base import Editor
from coral_core.editors.coral.prompt_config import LatentConfig
from coral_core.editors.coral.prompt_editor import PromptEditor, RenderedEdit, clip_term, directional_term
from coral_core.editors.latent.slots import GlobalDirection, LevelMapper, open_rows
from coral_core.editors.latent.text_regression import STEP_LENGTHS, TextRegression
from coral_core.editors.latent.whitening import Whitening
from coral_core.editors.regions.region import Region
from coral_core.editors.source_cache import SourceCache
from coral_core.editors.transport.transport import Transport
from coral_core.inversion import take
from coral_core.types import Inversion, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models


EMBED_BATCH = 32
"""Samples embedded at a time before a fit; the first batch decides the length of the start."""


class CoralEditor(PromptEditor):
    """A latent edit slot and a region slot on one generator, fitted for one prompt."""

    config: LatentConfig
    open_L1: Tensor
    start_D: Tensor

    def __init__(
        self,
        models: Models,
        prompt: Prompt,
        latent: GlobalDirection | LevelMapper,
        region: Region,
        config: LatentConfig,
        base: Transport | None = None,
    ) -> None:
        """`base`: the fitted transport, with which `start: transport` begins; not used otherwise."""
        assert (base is not None) == (config.start == "transport"), "only a start at transport reads it"
        super().__init__(models, prompt, region, config, base)
        self.latent = latent
        self.spread = Whitening(models.generator.num_ws, models.generator.w_dim)
        self.register_buffer("start_D", torch.zeros(models.generator.w_dim), persistent=config.start == "regression")
        if base is not None:
            latent.start_at_zero()
        self.register_buffer("open_L1", open_rows(models.generator.num_ws, config.levels), persistent=False)

    @classmethod
    def assemble(
        cls,
        latent: type[GlobalDirection | LevelMapper],
        region: type[Region],
        config: LatentConfig,
        prompt: Prompt,
        models: Models,
        base: Editor | None = None,
    ) -> CoralEditor:
        """An editor that is not fitted, with slots of the sizes of the bundle's generator."""
        assert base is None or isinstance(base, Transport), "the table says what this builds upon"
        generator = models.generator
        slot = latent(generator.num_ws, generator.w_dim, config.levels)
        return cls(models, prompt, slot, region.of(models), config, base)

    def prepare(self, source: Inversion) -> None:
        """Measure the covariance of w, the region's statistics and the start. ValueError for fewer than two samples."""
        self.spread.measure(source.ws_BLD)
        super().prepare(source)
        if self.config.start == "regression":
            self.start_D.copy_(self._start_direction(source))

    def edited(self, batch: Inversion, strength: float = 1.0) -> tuple[Styles, Tensor]:
        return self._edited_from(self._start(batch), batch, strength)

    def edited_in_fit(self, batch: Inversion) -> tuple[Styles, Tensor]:
        return self._edited_from(self._fit_start(batch), batch)

    @torch.no_grad()
    def whole_in_fit(self, batch: Inversion, plain_BCHW: Tensor) -> Tensor:
        """The render at the start, which is complete and does not follow the edit; Ibar* with another start."""
        if self._base == (None,):
            return super().whole_in_fit(batch, plain_BCHW)
        ws_BLD = batch.ws_BLD + self.open_L1 * self._fit_start(batch)[:, None]
        return self.models.generator.render(self.models.generator.styles(ws_BLD)).clamp(-1, 1)

    def clear_cache(self) -> None:
        super().clear_cache()
        self._fit_start = SourceCache(self._start)

    def _start(self, batch: Inversion) -> Tensor:
        """The change of w at which the fit of each sample starts, the same for all layers. [B,D]"""
        (base,) = self._base
        if base is None:
            return self.start_D.expand(len(batch.keys), -1)
        assert isinstance(base, Transport), "assemble() takes no other"
        return base.displacement(batch, [self.prompt] * len(batch.keys))

    def _edited_from(self, start_BD: Tensor, batch: Inversion, strength: float = 1.0) -> tuple[Styles, Tensor]:
        delta_BLD = self.latent(batch.ws_BLD)
        ws_BLD = self._edited_ws(batch.ws_BLD, start_BD, delta_BLD, strength)
        return self.models.generator.styles(ws_BLD), delta_BLD

    def _edited_ws(self, ws_BLD: Tensor, start_BD: Tensor, delta_BLD: Tensor, strength: float = 1.0) -> Tensor:
        """Latents plus strength * (start + S^(1/2) delta); rows of levels that are off are unchanged."""
        return ws_BLD + strength * self.open_L1 * (start_BD[:, None] + self.spread(delta_BLD))

    @torch.no_grad()
    def _start_direction(self, source: Inversion) -> Tensor:
        """The direction of the texts by regression over the source, at the length with the least CLIP terms. [D]"""
        parts = [take(source, slice(i, i + EMBED_BATCH)) for i in range(0, len(source.keys), EMBED_BATCH)]
        regression = TextRegression.of(source.ws_BLD.mean(1), torch.cat([self.unedited_clip(part) for part in parts]))
        step_D = regression.std_D * regression.latent_direction(self.models.clip.direction([self.prompt]))[0]
        found = torch.stack([self._clip_terms(parts[0], length * step_D) for length in STEP_LENGTHS])
        return STEP_LENGTHS[int(found.argmin())] * step_D

    def _clip_terms(self, batch: Inversion, step_D: Tensor) -> Tensor:
        """The weighted sum of both CLIP terms when all layers change by `step_D`. A scalar."""
        styles = self.models.generator.styles(batch.ws_BLD + self.open_L1 * step_D)
        image_BCHW = self.models.generator.render(styles).clamp(-1, 1)
        zeros_BLD = torch.zeros_like(batch.ws_BLD)
        rendered = RenderedEdit(batch, zeros_BLD, (), (image_BCHW,), image_BCHW, self.models.clip.image(image_BCHW))
        return (
            self.config.clip * clip_term(self, rendered).mean()
            + self.config.directional * directional_term(self, rendered).mean()
        )
