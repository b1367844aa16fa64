"""CoralStyleCLIP: a latent edit that acts only where, and in the layers in which, the text needs it.

Paper: arXiv 2303.05031. With plain styles s, edited styles s' = styles(w + strength * unit * delta) and layer masks m,
the image I* is the blended render of (s, s', m) and Ibar* the plain render of s'. Fitted per prompt on
    L = clip * L_clip + directional * L_dir + l2 * |delta|^2 + identity * L_id + area * L_area + total_variation * L_tv,
L_clip (and L_dir) averaged over I* and Ibar*: without the second term masks and edit could both settle at "a little".
With WholeImage there is one image and no mask term left, which is the mapper of StyleCLIP (arXiv 2103.17249).

Deviations and why:
- Every term is a mean over entries and samples (losses.py), delta is in standard deviations of w (latent.py).
- L_dir, the directional CLIP term, is not in the paper. A small CLIP of one domain places images of a kind close to the
  texts of that kind; the difference of texts names the change and nothing else.
- Weights, learning rates and steps of the paper are not public; the defaults are our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from coral_core import losses
from coral_core.editors.base import Editor, FitScope, ParameterGroup, Stage
from coral_core.editors.latent import LEVELS, GlobalDirection, LevelMapper
from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.regions import ConvAttention, Region, WholeImage
from coral_core.types import Edit, Inversion, Masks, Prompt

if TYPE_CHECKING:
    from coral_core.models import Models


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """A latent edit of the whole image: loss weights (0 leaves a term out, and its cost), levels and learning rate."""

    clip: float = 1.0  # 1 - cos(edited image, target text)
    directional: float = 1.0  # 1 - cos(edited - original image, target - source text)
    l2: float = 0.1  # mean square of the edit, in standard deviations of w
    identity: float = 0.1  # 1 - cos of the identity embeddings of edited and original image
    levels: tuple[str, ...] = tuple(LEVELS)  # levels of W+ that may move: coarse, medium, fine
    latent_rate: float = 0.08  # Adam's learning rate of the latent edit; a mapper's layers scale it by 0.01

    def __post_init__(self) -> None:
        if not self.levels or not set(self.levels) <= set(LEVELS):
            raise ValueError(f"levels is {list(self.levels)}; give one or more of {', '.join(LEVELS)}")
        wrong = [f"{name} = {value}" for name, value in {**self.weights(), **self.rates()}.items() if value < 0]
        if wrong:
            raise ValueError(f"weights and learning rates cannot be negative: {', '.join(wrong)}")
        if not any(self.weights().values()):
            raise ValueError(f"all weights are zero; give one of {', '.join(self.weights())}")

    def weights(self) -> dict[str, float]:
        """Weight of each row of TERMS that applies."""
        return {"clip": self.clip, "directional": self.directional, "l2": self.l2, "identity": self.identity}

    def rates(self) -> dict[str, float]:
        """Learning rate of each slot that learns."""
        return {"latent": self.latent_rate}


@dataclass(frozen=True, kw_only=True)
class CoralConfig(EditConfig):
    """A latent edit with learned regions."""

    area: float = 0.2  # mean of the masks over pixels and layers
    total_variation: float = 0.1  # mean squared difference of neighbouring mask pixels
    region_rate: float = 0.01  # Adam's learning rate of the region

    def weights(self) -> dict[str, float]:
        return {**super().weights(), "area": self.area, "total_variation": self.total_variation}

    def rates(self) -> dict[str, float]:
        return {**super().rates(), "region": self.region_rate}


@dataclass(frozen=True)
class Attempt:
    """One forward pass of a fit."""

    batch: Inversion
    delta_BLD: Tensor  # in standard deviations of w
    masks: Masks
    images: tuple[Tensor, ...]  # (I*, Ibar*), or (Ibar*,) without masks
    embedding_BE: Tensor  # CLIP of the images, one batch after the other


class CoralEditor(Editor):
    """A latent edit slot and a region slot on one generator, fitted for one prompt."""

    fit_scope: ClassVar[FitScope] = FitScope.PROMPT
    unit_D: Tensor

    def __init__(
        self,
        models: Models,
        prompt: Prompt,
        latent: GlobalDirection | LevelMapper,
        region: Region,
        config: EditConfig,
    ) -> None:
        super().__init__(models)
        if prompt.target == prompt.source:
            raise ValueError(f"{prompt}: target and source say the same, so there is nothing to edit; change one")
        self.prompt, self.config = prompt, config
        self.latent, self.region = latent, region
        self.register_buffer("unit_D", torch.ones(models.generator.w_dim))

    @classmethod
    def assemble(
        cls,
        latent: type[GlobalDirection | LevelMapper],
        region: type[ConvAttention | WholeImage],
        config: EditConfig,
        prompt: Prompt,
        models: Models,
    ) -> CoralEditor:
        """An editor whose slots have the sizes of the bundle's generator."""
        generator = models.generator
        slots = latent(generator.num_ws, generator.w_dim, config.levels), region(generator.conv_channels)
        return cls(models, prompt, *slots, config)

    def prepare(self, source: Inversion) -> None:
        """Measure the standard deviation of w (within layers) and what the region asks for.

        Both texts are encoded here as well, in float32: inside the loop they would be encoded under autocast and stay
        so in the cache that every user of the CLIP space shares.
        """
        if len(source.keys) < 2:
            raise ValueError(f"a fit needs the spread of its source; {len(source.keys)} sample has none, give hundreds")
        self.models.clip.text([self.prompt.target, self.prompt.source])
        variance_LD = source.ws_BLD.float().var(0, correction=0)
        self.unit_D.copy_(variance_LD.mean(0).sqrt())
        self.region.prepare(source, self.models.generator)

    def stages(self) -> Sequence[Stage]:
        slots = ((self.get_submodule(name), rate) for name, rate in self.config.rates().items())
        return (Stage("edit", tuple(ParameterGroup(tuple(slot.parameters()), rate) for slot, rate in slots)),)

    def losses(self, batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        attempt = self._attempt(batch)
        weights = {name: weight for name, weight in self.config.weights().items() if weight > 0}
        return {name: weight * TERMS[name](self, attempt).mean() for name, weight in weights.items()}

    @torch.no_grad()
    def edit(
        self,
        inversion: Inversion,
        prompts: Sequence[Prompt],
        *,
        strength: float = 1.0,
        seed: int = 0,
        limits: Limits = UNLIMITED,
    ) -> Edit:
        """Blend the edit at `strength` into each sample. `seed` is unused: nothing here is drawn."""
        self._check(prompts, len(inversion.keys))
        generator = self.models.generator
        masks = self.region(inversion, generator)
        edited = generator.styles(inversion.ws_BLD + strength * self.unit_D * self.latent(inversion.ws_BLD))
        return blend(edited, masks, limits, inversion, generator)

    def _attempt(self, batch: Inversion) -> Attempt:
        """Both images as two renders: in one batch of twice the size, Ibar* would pay for a second branch as well."""
        generator = self.models.generator
        masks = self.region(batch, generator)
        delta_BLD = self.latent(batch.ws_BLD)
        edited = generator.styles(batch.ws_BLD + self.unit_D * delta_BLD)
        images = [generator.render(edited).clamp(-1, 1)]
        if masks is not None:
            images.insert(0, generator.render(generator.styles(batch.ws_BLD), edited, masks).clamp(-1, 1))
        return Attempt(batch, delta_BLD, masks or (), tuple(images), self.models.clip.image(torch.cat(images)))

    def _check(self, prompts: Sequence[Prompt], count: int) -> None:
        if len(prompts) != count:
            raise ValueError(f"{len(prompts)} prompts for {count} samples; give one prompt per sample")
        others = sorted({str(prompt) for prompt in prompts if prompt != self.prompt})
        if others:
            raise ValueError(f"fitted for {self.prompt}, not for {', '.join(others)}; fit one editor per prompt")


def _clip(editor: CoralEditor, attempt: Attempt) -> Tensor:
    text_1E = editor.models.clip.text([editor.prompt.target])
    return losses.clip_distance(attempt.embedding_BE, text_1E)


def _directional(editor: CoralEditor, attempt: Attempt) -> Tensor:
    with torch.no_grad():
        source_BE = editor.models.clip.image(attempt.batch.recon_BCHW)
    source_BE = source_BE.repeat(len(attempt.images), 1)
    return losses.clip_directional(attempt.embedding_BE, source_BE, editor.models.clip.direction([editor.prompt]))


def _l2(editor: CoralEditor, attempt: Attempt) -> Tensor:
    return losses.latent_l2(attempt.delta_BLD)


def _identity(editor: CoralEditor, attempt: Attempt) -> Tensor:
    with torch.no_grad():
        source_BI = editor.models.identity(attempt.batch.recon_BCHW)
    return losses.identity_distance(editor.models.identity(attempt.images[0]), source_BI)


def _area(editor: CoralEditor, attempt: Attempt) -> Tensor:
    return losses.area(attempt.masks)


def _total_variation(editor: CoralEditor, attempt: Attempt) -> Tensor:
    return losses.total_variation(attempt.masks)


TERMS: Mapping[str, Callable[[CoralEditor, Attempt], Tensor]] = {
    "clip": _clip,
    "directional": _directional,
    "l2": _l2,
    "identity": _identity,
    "area": _area,
    "total_variation": _total_variation,
}
"""Every loss term by the name of its weight: per-sample values of one attempt, unweighted."""
