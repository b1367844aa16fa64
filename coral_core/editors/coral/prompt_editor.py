"""The base of editors that are fitted for one prompt: a region slot, and losses of the blended and the plain render.

With plain styles s, edited styles s' and layer masks m, the image I* is the blended render of (s, s', m) and Ibar* the
plain render of s'. CLIP terms are averaged over both: without the second one, weak masks and a weak edit could together
be a minimum. With WholeImage there is one image and no mask term. Subclasses compute s'.

Our own, not in the papers: L_unneeded = mean of mask * max(0, 1 - |Ibar* - G(w)| / 0.15), for masks that claim pixels
in which even the whole edit changes nothing. Such pixels cost little elsewhere: I* is nearly the same with and without
them. Learned masks therefore claimed far too much (IoU with the true regions 0.61). A weight of 1 cuts away parts of
reshaped regions (long hair of the dev prompts: IoU 0.42, and 0.54 with weight 0), so the default is smaller.
L_complete = mean of min(1, |Ibar* - G(w)| / 0.15) * |I* - Ibar*|, the counterpart of L_keep: without it a fit that
starts at a complete edit gives parts of it up for a smaller area, as soon as CLIP is content (red hair of the dev
prompts: right 0.27, and 1.00 with it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from coral_core import losses
from coral_core.editors.base import Editor, EditProgress, FitScope, check_prompts
from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.regions.region import Region, image_mask
from coral_core.editors.source_cache import SourceCache
from coral_core.stages import ParameterGroup, Stage
from coral_core.types import Edit, Inversion, Masks, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """Loss weights of an edit for one prompt; a term with weight 0 is not computed."""

    clip: float = 2.0  # hinge of cos(edited image, target text) below clip_enough
    clip_enough: float = 0.3  # cosine of an image and a text that is true of it; 1: no bound
    directional: float = 3.0  # hinge of cos(edited - original image, target - source text) below directional_enough
    directional_enough: float = 0.5  # cosine of the exact right change; 1: no bound
    identity: float = 0.1  # 1 - cos of the identity embeddings of edited and original image

    def __post_init__(self) -> None:
        enough = {"clip_enough": self.clip_enough, "directional_enough": self.directional_enough}
        out_of_range = [f"{name} = {value}" for name, value in enough.items() if not -1 <= value <= 1]
        if out_of_range:
            raise ValueError(f"a cosine lies between -1 and 1: {', '.join(out_of_range)}")
        wrong = [f"{name} = {value}" for name, value in {**self.weights(), **self.rates()}.items() if value < 0]
        if wrong:
            raise ValueError(f"weights and learning rates cannot be negative: {', '.join(wrong)}")
        if not any(self.weights().values()):
            raise ValueError(f"all weights are zero; give one of {', '.join(self.weights())}")

    def weights(self) -> dict[str, float]:
        """Weights by the name of the term in TERMS, for the terms of this method."""
        return {"clip": self.clip, "directional": self.directional, "identity": self.identity}

    def rates(self) -> dict[str, float]:
        """Adam's learning rate by the name of the slot (a submodule), for the slots that learn."""
        return {}


@dataclass(frozen=True, kw_only=True)
class RegionConfig(PromptConfig):
    """Loss weights of an edit with learned regions."""

    area: float = 1.2  # mean of the masks over pixels and layers
    total_variation: float = 0.1  # mean squared difference of neighbouring mask pixels
    keep: float = 2.0  # mean of (1 - mask) * absolute change of the blended image, images in [-1,1]
    region_rate: float = 0.01  # Adam's learning rate of the region

    def weights(self) -> dict[str, float]:
        own = {"area": self.area, "total_variation": self.total_variation, "keep": self.keep}
        return {**super().weights(), **own}

    def rates(self) -> dict[str, float]:
        return {**super().rates(), "region": self.region_rate}


@dataclass(frozen=True, kw_only=True)
class NeededRegionConfig(RegionConfig):
    """Loss weights of learned regions that should leave out what the edit does not change."""

    unneeded: float = 0.3  # masked fraction in which the whole edit changes nothing (losses.unneeded_area)
    complete: float = 4.0  # what the blended image lacks of the whole edit where that is clear (losses.missing_change)
    area: float = 0.3

    def weights(self) -> dict[str, float]:
        return {**super().weights(), "unneeded": self.unneeded, "complete": self.complete}


@dataclass(frozen=True)
class RenderedEdit:
    """The edit of one batch in a fit, rendered and embedded."""

    batch: Inversion
    delta_BLD: Tensor  # in standard deviations of w; empty for an edit without this unit
    masks: Masks  # of each layer; empty without regions
    images: tuple[Tensor, ...]  # (I*, Ibar*), or (Ibar*,) without masks
    embedding_BE: Tensor  # CLIP embeddings of the images, those of I* before those of Ibar*


class PromptEditor(Editor):
    """An edit for one prompt: edited styles, blended with the plain styles by the masks of a region slot."""

    fit_scope: ClassVar[FitScope] = FitScope.PROMPT

    def __init__(self, models: Models, prompt: Prompt, region: Region, config: PromptConfig) -> None:
        super().__init__(models)
        check_prompts([prompt], 1)
        self.prompt, self.config, self.region = prompt, config, region
        self.clear_cache()

    def prepare(self, source: Inversion) -> None:
        """Take the statistics of the region."""
        self.region.prepare(source, self.models.generator)
        self.clear_cache()

    def stages(self) -> Sequence[Stage]:
        slots = ((self.get_submodule(name), rate) for name, rate in self.config.rates().items())
        return (Stage("edit", tuple(ParameterGroup(tuple(slot.parameters()), rate) for slot, rate in slots)),)

    def losses(self, batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        rendered = self._render_edit(batch)
        weights = self.config.weights()
        return {name: weights[name] * term(self, rendered).mean() for name, term in TERMS.items() if weights.get(name)}

    @torch.no_grad()
    def edit(
        self,
        inversion: Inversion,
        prompts: Sequence[Prompt],
        *,
        strength: float = 1.0,
        seed: int = 0,
        limits: Limits = UNLIMITED,
        progress: EditProgress | None = None,
    ) -> Edit:
        """Blend the edit at `strength` into each sample. `seed` is not used, because nothing is random."""
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
        """The edited styles of the whole image, and delta_BLD of RenderedEdit."""
        raise NotImplementedError

    def edited_in_fit(self, batch: Inversion) -> tuple[Styles, Tensor]:
        """The same at strength 1 for samples of a fit, of which a subclass may keep what does not change."""
        return self.edited(batch)

    def _render_edit(self, batch: Inversion) -> RenderedEdit:
        """I* and Ibar*, rendered one after the other: in one batch, Ibar* would have two branches as well."""
        generator = self.models.generator
        masks = self.region(batch, generator)
        edited, delta_BLD = self.edited_in_fit(batch)
        images = [generator.render(edited).clamp(-1, 1)]
        if masks is not None:
            images.insert(0, generator.render(generator.styles(batch.ws_BLD), edited, masks).clamp(-1, 1))
        return RenderedEdit(batch, delta_BLD, masks or (), tuple(images), self.models.clip.image(torch.cat(images)))

    def clear_cache(self) -> None:
        """Drop what was computed for single samples: those of another source may have the same keys."""
        self.unedited_clip = SourceCache.of_images(self.models.clip.image)
        self.unedited_identity = SourceCache.of_images(self.models.identity)


def clip_term(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    text_1E = editor.models.clip.text([editor.prompt.target])
    return losses.hinge(losses.clip_distance(rendered.embedding_BE, text_1E), editor.config.clip_enough)


def directional_term(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    source_BE = editor.unedited_clip(rendered.batch).repeat(len(rendered.images), 1)
    towards_1E = editor.models.clip.direction([editor.prompt])
    distance_B = losses.clip_directional(rendered.embedding_BE, source_BE, towards_1E)
    return losses.hinge(distance_B, editor.config.directional_enough)


def _l2(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    return losses.latent_l2(rendered.delta_BLD)


def _identity(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    edited_BI = editor.models.identity(rendered.images[0])
    return losses.identity_distance(edited_BI, editor.unedited_identity(rendered.batch))


def _area(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    return losses.area(rendered.masks)


def _complete(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    return losses.missing_change(rendered.images[0], rendered.images[-1], rendered.batch.recon_BCHW)


def _unneeded(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    mask_B1HW = image_mask(rendered.masks, editor.models.image_size)
    return losses.unneeded_area(mask_B1HW, rendered.images[-1], rendered.batch.recon_BCHW)


def _total_variation(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    return losses.total_variation(rendered.masks)


def _keep(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    mask_B1HW = image_mask(rendered.masks, editor.models.image_size)
    return losses.change_outside_mask(rendered.images[0], rendered.batch.recon_BCHW, mask_B1HW)


TERMS: Mapping[str, Callable[[PromptEditor, RenderedEdit], Tensor]] = {
    "clip": clip_term,
    "directional": directional_term,
    "l2": _l2,
    "identity": _identity,
    "area": _area,
    "unneeded": _unneeded,
    "complete": _complete,
    "total_variation": _total_variation,
    "keep": _keep,
}
"""Every loss term by the name of its weight: unweighted values per sample and image."""
