"""The base of editors that are fitted for one prompt: a region slot, and losses of the blended and the plain render.

With plain styles s, edited styles s' and layer masks m, the image I* is the blended render of (s, s', m) and Ibar* the
plain render of s'. CLIP terms are averaged over both: without the second one, weak masks and a weak edit could together
be a minimum. With WholeImage there is one image and no mask term. Subclasses compute s'.

Our own, not in the papers, with X the whole edit by which regions are measured (Ibar*, or the render at which a latent
edit started; no gradient flows into it):

- L_embedding = 1 - cos(CLIP embedding of I*, e'), e' the embedding that transport computes for the edit of each sample
  (../transport/). The CLIP terms of the papers ask for more of the text; they have no minimum at the right edit, and
  fits that start at it leave it (red hair of the dev prompts: right 0.91 at the start, 0.82 after a fit with them, 0.91
  with this term in their place). e' also says what is to stay.
- L_unneeded = mean of mask * max(0, 1 - |X - G(w)| / 0.15), for masks that claim pixels in which even the whole edit
  changes nothing. Such pixels cost little elsewhere: I* is nearly the same with and without them. Learned masks
  therefore claimed far too much (IoU with the true regions 0.61).
- L_complete = mean of min(1, |X - G(w)| / 0.15) * |I* - X|, the counterpart of L_keep: without it a fit that starts at
  a complete edit gives parts of it up for a smaller area. X must not follow the edit: with X = Ibar* a mapper
  exaggerates the edit to make up for soft masks, X becomes more, and the whole image changes (right 0.09).
- Edits use saturated masks, cut where the image does not change clearly (`difference`): a soft mask mixes source and
  edit, and what was removed shines through. `area` and `outside` are scored with the mask before the cut.
- Layers whose mask is small over the training source, compared with the largest one, are shut after the fit
  (`close_layers`). The largest one is small for small things, such as lips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from coral_core import losses
from coral_core.editors.base import Editor, EditProgress, FitScope, StyleEditor, check_prompts
from coral_core.editors.coral.prompt_config import PromptConfig, RegionConfig
from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.regions.region import Region, image_mask, saturated, statistics_source
from coral_core.editors.source_cache import SourceCache
from coral_core.fit import FitConfig, FitReport, Progress
from coral_core.inversion import take
from coral_core.stages import ParameterGroup, Stage
from coral_core.types import Edit, Inversion, Masks, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models


@dataclass(frozen=True)
class RenderedEdit:
    """The edit of one batch in a fit, rendered and embedded."""

    batch: Inversion
    delta_BLD: Tensor  # in standard deviations of w; empty for an edit without this unit
    masks: Masks  # of each layer; empty without regions
    images: tuple[Tensor, ...]  # (I*, Ibar*), or (Ibar*,) without masks
    whole_BCHW: Tensor  # X, the whole edit by which regions are measured; equal to I* without regions
    embedding_BE: Tensor  # CLIP embeddings of the images, those of I* before those of Ibar*


class PromptEditor(Editor):
    """An edit for one prompt: edited styles, blended with the plain styles by the masks of a region slot."""

    fit_scope: ClassVar[FitScope] = FitScope.PROMPT

    open_layers: Tensor

    def __init__(
        self, models: Models, prompt: Prompt, region: Region, config: PromptConfig, base: StyleEditor | None = None
    ) -> None:
        """`base`: the fitted editor that this one starts at or limits; not used otherwise."""
        super().__init__(models)
        self._base = (base,)  # in a tuple, so that it is not in state_dict(): it is an artifact of its own
        self._check_each([prompt], 1)
        self.prompt, self.config, self.region = prompt, config, region
        if isinstance(config, RegionConfig):
            self.register_buffer("open_layers", torch.ones(len(models.generator.conv_sizes)))
        self.clear_cache()

    def prepare(self, source: Inversion) -> None:
        """Take the statistics of the region."""
        self.region.prepare(source, self.models.generator)
        self.clear_cache()

    def fit(self, source: Inversion, config: FitConfig, progress: Progress | None = None) -> FitReport:
        report = super().fit(source, config, progress)
        if isinstance(self.config, RegionConfig) and self.config.close_layers:
            self._close_layers(take(source, slice(len(statistics_source(source)))), self.config.close_layers)
        return report

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
        self._check_each(prompts, len(inversion.keys))
        self.check(prompts)
        masks = self.masks(inversion)
        edited, _ = self.edited(inversion, strength)
        if masks is not None and isinstance(self.config, RegionConfig) and self.config.difference:
            masks, limits = saturated(masks), limits.or_difference(self.config.difference)
        return blend(edited, masks, limits, inversion, self.models.generator)

    def check(self, prompts: Sequence[Prompt]) -> None:
        self._check_each(prompts, len(prompts))
        others = sorted({str(prompt) for prompt in prompts if prompt != self.prompt})
        if others:
            raise ValueError(f"fitted for {self.prompt}, not for {', '.join(others)}; fit one editor per prompt")
        (base,) = self._base
        if base is not None:
            base.check(prompts)

    def _check_each(self, prompts: Sequence[Prompt], count: int) -> None:
        (base,) = self._base
        check_prompts(prompts, count, combines_wishes=base is not None and base.combines_wishes)

    def masks(self, inversion: Inversion) -> Masks | None:
        """The region's masks, zero in layers that are shut; None for the whole image."""
        masks = self.region(inversion, self.models.generator)
        if masks is None:
            return None
        return tuple(mask_B1HW * is_open for mask_B1HW, is_open in zip(masks, self.open_layers, strict=True))

    def edited(self, batch: Inversion, strength: float = 1.0) -> tuple[Styles, Tensor]:
        """The edited styles of the whole image, and delta_BLD of RenderedEdit."""
        raise NotImplementedError

    def edited_in_fit(self, batch: Inversion) -> tuple[Styles, Tensor]:
        """The same at strength 1 for samples of a fit, of which a subclass may keep what does not change."""
        return self.edited(batch)

    def whole_in_fit(self, batch: Inversion, plain_BCHW: Tensor) -> Tensor:
        """X of the losses, images in [-1,1]; `plain_BCHW` is Ibar*."""
        return plain_BCHW.detach()

    def _render_edit(self, batch: Inversion) -> RenderedEdit:
        """I* and Ibar*, rendered one after the other: in one batch, Ibar* would have two branches as well."""
        generator = self.models.generator
        masks = self.masks(batch)
        edited, delta_BLD = self.edited_in_fit(batch)
        images = [generator.render(edited).clamp(-1, 1)]
        whole_BCHW = images[0]
        if masks is not None:
            whole_BCHW = self.whole_in_fit(batch, whole_BCHW)
            images.insert(0, generator.render(generator.styles(batch.ws_BLD), edited, masks).clamp(-1, 1))
        embedding_BE = self.models.clip.image(torch.cat(images))
        return RenderedEdit(batch, delta_BLD, masks or (), tuple(images), whole_BCHW, embedding_BE)

    @torch.no_grad()
    def _close_layers(self, source: Inversion, least: float) -> None:
        """Shut the layers whose mask, as edits use it, covers less than `least` of what the largest one covers."""
        masks = self.masks(source)
        if masks is not None:
            areas_L = losses.layer_areas(saturated(masks)).mean(0)
            self.open_layers.copy_(areas_L >= least * areas_L.max())

    def clear_cache(self) -> None:
        """Drop what was computed for single samples: those of another source may have the same keys."""
        self.unedited_clip = SourceCache.of_images(self.models.clip.image)
        self.unedited_identity = SourceCache.of_images(self.models.identity)
        self.target_embedding = SourceCache(self._target_embedding)

    def _target_embedding(self, batch: Inversion) -> Tensor:
        """e' of the losses. [B,E]"""
        (base,) = self._base
        assert base is not None, "the options allow the term only with a base"
        return base.target_embedding(batch, [self.prompt] * len(batch.keys))


def clip_term(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    text_1E = editor.models.clip.text([editor.prompt.target])
    return losses.hinge(losses.clip_distance(rendered.embedding_BE, text_1E), editor.config.clip_enough)


def directional_term(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    source_BE = editor.unedited_clip(rendered.batch).repeat(len(rendered.images), 1)
    towards_1E = editor.models.clip.direction([editor.prompt])
    distance_B = losses.clip_directional(rendered.embedding_BE, source_BE, towards_1E)
    return losses.hinge(distance_B, editor.config.directional_enough)


def _embedding(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    target_BE = editor.target_embedding(rendered.batch)
    return losses.clip_distance(rendered.embedding_BE, target_BE.repeat(len(rendered.images), 1))


def _l2(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    return losses.latent_l2(rendered.delta_BLD)


def _identity(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    edited_BI = editor.models.identity(rendered.images[0])
    return losses.identity_distance(edited_BI, editor.unedited_identity(rendered.batch))


def _area(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    return losses.area(rendered.masks)


def _complete(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    return losses.missing_change(rendered.images[0], rendered.whole_BCHW, rendered.batch.recon_BCHW)


def _unneeded(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    mask_B1HW = image_mask(rendered.masks, editor.models.image_size)
    return losses.unneeded_area(mask_B1HW, rendered.whole_BCHW, rendered.batch.recon_BCHW)


def _total_variation(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    return losses.total_variation(rendered.masks)


def _keep(editor: PromptEditor, rendered: RenderedEdit) -> Tensor:
    mask_B1HW = image_mask(rendered.masks, editor.models.image_size)
    return losses.change_outside_mask(rendered.images[0], rendered.batch.recon_BCHW, mask_B1HW)


TERMS: Mapping[str, Callable[[PromptEditor, RenderedEdit], Tensor]] = {
    "clip": clip_term,
    "directional": directional_term,
    "embedding": _embedding,
    "l2": _l2,
    "identity": _identity,
    "area": _area,
    "unneeded": _unneeded,
    "complete": _complete,
    "total_variation": _total_variation,
    "keep": _keep,
}
"""Every loss term by the name of its weight: unweighted values per sample and image."""
