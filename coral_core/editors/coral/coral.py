"""CoralStyleCLIP: a latent edit that acts only where, and in the layers in which, the text needs it.

Paper: arXiv 2303.05031. With plain styles s, edited styles s' = styles(w + strength * S^(1/2) delta) and layer masks m,
the image I* is the blended render of (s, s', m) and Ibar* the plain render of s'. Fitted per prompt on
    L = clip * L_clip + directional * L_dir + l2 * |delta|^2 + identity * L_id
        + area * L_area + total_variation * L_tv + keep * L_keep,
L_clip (and L_dir) averaged over I* and Ibar*: without the second term masks and edit could both settle at "a little".
With WholeImage there is one image and no mask term left, which is the mapper of StyleCLIP (arXiv 2103.17249).

Deviations and why:
- Every term is a mean over entries and samples (losses.py), delta is measured in the spread of w (spread.py).
- L_dir, the directional CLIP term, is not in the paper. A small CLIP of one domain places images of a kind close to the
  texts of that kind; the difference of texts names the change and nothing else.
- Both CLIP terms are rewarded up to `enough`, the similarity of real images with the texts that are true of them. What
  goes beyond pleases the network and nobody else; once an image says enough, the other terms make the edit small.
- delta starts at a rough guess of where the texts point (guess.py), as far along it as serves CLIP best on a few
  samples, and |delta|^2 counts from there. Far from the edit, CLIP's gradient points to patterns instead.
- L_keep = mean of (1 - mask) |I* - G(w)| is not in the paper. Coarse layers reach beyond their masks; this term holds
  an edit to the region that it claims.
- Weights, learning rates and steps of the paper are not public; the defaults are our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coral_core.editors.coral.prompt_editor import (
    Attempt,
    PromptConfig,
    PromptEditor,
    RegionConfig,
    clip_term,
    directional_term,
)
from coral_core.editors.latent.slots import LEVELS, GlobalDirection, LevelMapper, open_rows
from coral_core.editors.latent.text_regression import GUESS_STEPS, LatentGuess
from coral_core.editors.latent.whitening import Whitening
from coral_core.editors.regions.region import Region
from coral_core.inversion import take
from coral_core.types import Inversion, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models


@dataclass(frozen=True, kw_only=True)
class EditConfig(PromptConfig):
    """A latent edit of the whole image: loss weights, levels and learning rate."""

    l2: float = 1.0  # mean square of the edit, in deviations of w
    guess: bool = True  # start where a regression over the source says that the texts point (guess.py)
    levels: tuple[str, ...] = tuple(LEVELS)  # levels of W+ that may move: coarse, medium, fine
    latent_rate: float = 0.08  # Adam's learning rate of the latent edit; a mapper's layers scale it by 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels or not set(self.levels) <= set(LEVELS):
            raise ValueError(f"levels is {list(self.levels)}; give one or more of {', '.join(LEVELS)}")

    def weights(self) -> dict[str, float]:
        return {**super().weights(), "l2": self.l2}

    def rates(self) -> dict[str, float]:
        return {**super().rates(), "latent": self.latent_rate}


@dataclass(frozen=True, kw_only=True)
class CoralConfig(RegionConfig, EditConfig):
    """A latent edit with learned regions."""


EMBEDDED = 32
"""Samples embedded at a time before a fit; the first of these say how far the guess is followed."""


class CoralEditor(PromptEditor):
    """A latent edit slot and a region slot on one generator, fitted for one prompt."""

    config: EditConfig
    open_L1: Tensor
    start_D: Tensor

    def __init__(
        self,
        models: Models,
        prompt: Prompt,
        latent: GlobalDirection | LevelMapper,
        region: Region,
        config: EditConfig,
    ) -> None:
        super().__init__(models, prompt, region, config)
        self.latent = latent
        self.spread = Whitening(models.generator.num_ws, models.generator.w_dim)
        self.register_buffer("start_D", torch.zeros(models.generator.w_dim))
        self.register_buffer("open_L1", open_rows(models.generator.num_ws, config.levels), persistent=False)

    @classmethod
    def assemble(
        cls,
        latent: type[GlobalDirection | LevelMapper],
        region: type[Region],
        config: EditConfig,
        prompt: Prompt,
        models: Models,
    ) -> CoralEditor:
        """An editor whose slots have the sizes of the bundle's generator."""
        generator = models.generator
        slot = latent(generator.num_ws, generator.w_dim, config.levels)
        return cls(models, prompt, slot, region.of(models), config)

    def prepare(self, source: Inversion) -> None:
        """Measure the spread of w and what the region asks for. ValueError for a source of one sample."""
        self.spread.measure(source.ws_BLD)
        super().prepare(source)
        if self.config.guess:
            self.start_D.copy_(self._start(source))

    def edited(self, batch: Inversion, strength: float = 1.0) -> tuple[Styles, Tensor]:
        delta_BLD = self.latent(batch.ws_BLD)
        return self.models.generator.styles(self._moved(batch.ws_BLD, delta_BLD, strength)), delta_BLD

    def _moved(self, ws_BLD: Tensor, delta_BLD: Tensor, strength: float = 1.0) -> Tensor:
        """By the start and S^(1/2) delta, which tie all layers together; those of a level that is off do not move."""
        return ws_BLD + strength * self.open_L1 * (self.start_D + self.spread(delta_BLD))

    @torch.no_grad()
    def _start(self, source: Inversion) -> Tensor:
        """Where the texts point by regression over the source, as far as the CLIP terms are least. [D]"""
        parts = [take(source, slice(i, i + EMBEDDED)) for i in range(0, len(source.keys), EMBEDDED)]
        guess = LatentGuess.of(source.ws_BLD.mean(1), torch.cat([self.unedited_clip(part) for part in parts]))
        step_D = guess.unit_D * guess.towards(self.models.clip.direction([self.prompt]))[0]
        found = torch.stack([self._clip_terms(parts[0], place * step_D) for place in GUESS_STEPS])
        return GUESS_STEPS[int(found.argmin())] * step_D

    def _clip_terms(self, batch: Inversion, step_D: Tensor) -> Tensor:
        """What CLIP still misses when all layers move by one step."""
        styles = self.models.generator.styles(batch.ws_BLD + self.open_L1 * step_D)
        image_BCHW = self.models.generator.render(styles).clamp(-1, 1)
        nothing_BLD = torch.zeros_like(batch.ws_BLD)
        attempt = Attempt(batch, nothing_BLD, (), (image_BCHW,), self.models.clip.image(image_BCHW))
        return (
            self.config.clip * clip_term(self, attempt).mean()
            + self.config.directional * directional_term(self, attempt).mean()
        )
