"""What editors that are fitted for one prompt have in common: a region slot, and losses on what it lets through.

With plain styles s, edited styles s' and layer masks m, the image I* is the blended render of (s, s', m) and Ibar* the
plain render of s'. CLIP terms are averaged over both: without the second one masks and edit could both settle at "a
little". With WholeImage there is one image and no mask term left. What makes s' is up to the subclass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from coral_core import losses
from coral_core.editors.base import Editor, FitScope, check_prompts
from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.regions.region import Region, claimed
from coral_core.editors.source_cache import SourceRows
from coral_core.stages import ParameterGroup, Stage
from coral_core.types import Edit, Inversion, Masks, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """Loss weights of an edit for one prompt; 0 leaves a term out."""

    clip: float = 2.0  # 1 - cos(edited image, target text), as far as it is above 1 - clip_enough
    clip_enough: float = 0.3  # cosine of an image and a text that is true of it; 1 rewards everything
    directional: float = 3.0  # 1 - cos(edited - original image, target - source text), likewise
    directional_enough: float = 0.5  # cosine of the exact right change; 1 rewards everything
    identity: float = 0.1  # 1 - cos of the identity embeddings of edited and original image

    def __post_init__(self) -> None:
        enough = {"clip_enough": self.clip_enough, "directional_enough": self.directional_enough}
        beyond = [f"{name} = {value}" for name, value in enough.items() if not -1 <= value <= 1]
        if beyond:
            raise ValueError(f"a cosine lies between -1 and 1: {', '.join(beyond)}")
        wrong = [f"{name} = {value}" for name, value in {**self.weights(), **self.rates()}.items() if value < 0]
        if wrong:
            raise ValueError(f"weights and learning rates cannot be negative: {', '.join(wrong)}")
        if not any(self.weights().values()):
            raise ValueError(f"all weights are zero; give one of {', '.join(self.weights())}")

    def weights(self) -> dict[str, float]:
        """Weight of each row of TERMS that applies."""
        return {"clip": self.clip, "directional": self.directional, "identity": self.identity}

    def rates(self) -> dict[str, float]:
        """Learning rate of each slot that learns."""
        return {}


@dataclass(frozen=True, kw_only=True)
class RegionConfig(PromptConfig):
    """Loss weights with learned regions."""

    area: float = 1.2  # mean of the masks over pixels and layers
    total_variation: float = 0.1  # mean squared difference of neighbouring mask pixels
    keep: float = 2.0  # mean absolute change of the blended image, images in [-1,1], where nothing is claimed
    region_rate: float = 0.01  # Adam's learning rate of the region

    def weights(self) -> dict[str, float]:
        own = {"area": self.area, "total_variation": self.total_variation, "keep": self.keep}
        return {**super().weights(), **own}

    def rates(self) -> dict[str, float]:
        return {**super().rates(), "region": self.region_rate}


@dataclass(frozen=True)
class Attempt:
    """One forward pass of a fit."""

    batch: Inversion
    delta_BLD: Tensor  # in deviations of w; nothing where the edit is not measured in them
    masks: Masks
    images: tuple[Tensor, ...]  # (I*, Ibar*), or (Ibar*,) without masks
    embedding_BE: Tensor  # CLIP of the images, one batch after the other


class PromptEditor(Editor):
    """Edited styles, blended in where a region slot says, for one prompt."""

    fit_scope: ClassVar[FitScope] = FitScope.PROMPT

    def __init__(self, models: Models, prompt: Prompt, region: Region, config: PromptConfig) -> None:
        super().__init__(models)
        check_prompts([prompt], 1)
        self.prompt, self.config, self.region = prompt, config, region
        self.forget()

    def prepare(self, source: Inversion) -> None:
        """Measure what the region asks for."""
        self.region.prepare(source, self.models.generator)
        self.forget()

    def stages(self) -> Sequence[Stage]:
        slots = ((self.get_submodule(name), rate) for name, rate in self.config.rates().items())
        return (Stage("edit", tuple(ParameterGroup(tuple(slot.parameters()), rate) for slot, rate in slots)),)

    def losses(self, batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        attempt = self._attempt(batch)
        weights = self.config.weights()
        return {name: weights[name] * term(self, attempt).mean() for name, term in TERMS.items() if weights.get(name)}

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
        check_prompts(prompts, len(inversion.keys))
        self.check(prompts)
        masks = self.region(inversion, self.models.generator)
        edited, _ = self.edited(inversion, strength)
        return blend(edited, masks, limits, inversion, self.models.generator)

    def check(self, prompts: Sequence[Prompt]) -> None:
        super().check(prompts)
        others = sorted({str(prompt) for prompt in prompts if prompt != self.prompt})
        if others:
            raise ValueError(f"fitted for {self.prompt}, not for {', '.join(others)}; fit one editor per prompt")

    def edited(self, batch: Inversion, strength: float = 1.0) -> tuple[Styles, Tensor]:
        """The styles of the edit in the whole image, and delta_BLD as Attempt has it."""
        raise NotImplementedError

    def _attempt(self, batch: Inversion) -> Attempt:
        """Both images as two renders: in one batch of twice the size, Ibar* would pay for a second branch as well."""
        generator = self.models.generator
        masks = self.region(batch, generator)
        edited, delta_BLD = self.edited(batch)
        images = [generator.render(edited).clamp(-1, 1)]
        if masks is not None:
            images.insert(0, generator.render(generator.styles(batch.ws_BLD), edited, masks).clamp(-1, 1))
        return Attempt(batch, delta_BLD, masks or (), tuple(images), self.models.clip.image(torch.cat(images)))

    def forget(self) -> None:
        """Drop the embeddings of unedited images: samples of another source may bear the same keys."""
        self.unedited_clip = SourceRows.image(self.models.clip.image)
        self.unedited_identity = SourceRows.image(self.models.identity)


def clip_term(editor: PromptEditor, attempt: Attempt) -> Tensor:
    text_1E = editor.models.clip.text([editor.prompt.target])
    return losses.lacking(losses.clip_distance(attempt.embedding_BE, text_1E), editor.config.clip_enough)


def directional_term(editor: PromptEditor, attempt: Attempt) -> Tensor:
    source_BE = editor.unedited_clip(attempt.batch).repeat(len(attempt.images), 1)
    towards_1E = editor.models.clip.direction([editor.prompt])
    distance_B = losses.clip_directional(attempt.embedding_BE, source_BE, towards_1E)
    return losses.lacking(distance_B, editor.config.directional_enough)


def _l2(editor: PromptEditor, attempt: Attempt) -> Tensor:
    return losses.latent_l2(attempt.delta_BLD)


def _identity(editor: PromptEditor, attempt: Attempt) -> Tensor:
    edited_BI = editor.models.identity(attempt.images[0])
    return losses.identity_distance(edited_BI, editor.unedited_identity(attempt.batch))


def _area(editor: PromptEditor, attempt: Attempt) -> Tensor:
    return losses.area(attempt.masks)


def _total_variation(editor: PromptEditor, attempt: Attempt) -> Tensor:
    return losses.total_variation(attempt.masks)


def _keep(editor: PromptEditor, attempt: Attempt) -> Tensor:
    mask_B1HW = claimed(attempt.masks, editor.models.image_size)
    return losses.disturbance(attempt.images[0], attempt.batch.recon_BCHW, mask_B1HW)


TERMS: Mapping[str, Callable[[PromptEditor, Attempt], Tensor]] = {
    "clip": clip_term,
    "directional": directional_term,
    "l2": _l2,
    "identity": _identity,
    "area": _area,
    "total_variation": _total_variation,
    "keep": _keep,
}
"""Every loss term by the name of its weight: per-sample values of one attempt, unweighted."""
