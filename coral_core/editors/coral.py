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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from coral_core import losses
from coral_core.editors.base import Editor, FitScope, ParameterGroup, Stage, check_prompts
from coral_core.editors.guess import PLACES, LatentGuess
from coral_core.editors.latent import LEVELS, GlobalDirection, LevelMapper, open_rows
from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.regions import Region, claimed
from coral_core.editors.spread import Spread
from coral_core.inversion import take
from coral_core.types import Edit, Inversion, Masks, Prompt

if TYPE_CHECKING:
    from coral_core.models import Models


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """A latent edit of the whole image: loss weights (0 leaves a term out), levels and learning rate."""

    clip: float = 2.0  # 1 - cos(edited image, target text), as far as it is above 1 - clip_enough
    clip_enough: float = 0.3  # cosine of an image and a text that is true of it; 1 rewards everything
    directional: float = 3.0  # 1 - cos(edited - original image, target - source text), likewise
    directional_enough: float = 0.5  # cosine of the exact right change; 1 rewards everything
    l2: float = 1.0  # mean square of the edit, in deviations of w
    identity: float = 0.1  # 1 - cos of the identity embeddings of edited and original image
    guess: bool = True  # start where a regression over the source says that the texts point (guess.py)
    levels: tuple[str, ...] = tuple(LEVELS)  # levels of W+ that may move: coarse, medium, fine
    latent_rate: float = 0.08  # Adam's learning rate of the latent edit; a mapper's layers scale it by 0.01

    def __post_init__(self) -> None:
        if not self.levels or not set(self.levels) <= set(LEVELS):
            raise ValueError(f"levels is {list(self.levels)}; give one or more of {', '.join(LEVELS)}")
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
        return {"clip": self.clip, "directional": self.directional, "l2": self.l2, "identity": self.identity}

    def rates(self) -> dict[str, float]:
        """Learning rate of each slot that learns."""
        return {"latent": self.latent_rate}


@dataclass(frozen=True, kw_only=True)
class CoralConfig(EditConfig):
    """A latent edit with learned regions."""

    area: float = 1.2  # mean of the masks over pixels and layers
    total_variation: float = 0.1  # mean squared difference of neighbouring mask pixels
    keep: float = 2.0  # mean absolute change of the blended image, images in [-1,1], where nothing is claimed
    region_rate: float = 0.01  # Adam's learning rate of the region

    def weights(self) -> dict[str, float]:
        own = {"area": self.area, "total_variation": self.total_variation, "keep": self.keep}
        return {**super().weights(), **own}

    def rates(self) -> dict[str, float]:
        return {**super().rates(), "region": self.region_rate}


EMBEDDED = 32
"""Samples embedded at a time before a fit; the first of these say how far the guess is followed."""


@dataclass(frozen=True)
class Attempt:
    """One forward pass of a fit."""

    batch: Inversion
    delta_BLD: Tensor  # in deviations of w
    masks: Masks
    images: tuple[Tensor, ...]  # (I*, Ibar*), or (Ibar*,) without masks
    embedding_BE: Tensor  # CLIP of the images, one batch after the other


class Unedited:
    """A network's rows for unedited images, each computed once in a fit, however often its sample is drawn."""

    def __init__(self, network: Callable[[Tensor], Tensor]) -> None:
        self.network = network
        self._rows: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: Inversion) -> Tensor:
        new = [index for index, key in enumerate(batch.keys) if key not in self._rows]
        if new:
            rows = self.network(batch.recon_BCHW[new]).float()
            self._rows.update(zip((batch.keys[index] for index in new), rows, strict=True))
        return torch.stack([self._rows[key] for key in batch.keys])


class CoralEditor(Editor):
    """A latent edit slot and a region slot on one generator, fitted for one prompt."""

    fit_scope: ClassVar[FitScope] = FitScope.PROMPT
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
        super().__init__(models)
        check_prompts([prompt], 1)
        self.prompt, self.config = prompt, config
        self.latent, self.region = latent, region
        self.spread = Spread(models.generator.num_ws, models.generator.w_dim)
        self.register_buffer("start_D", torch.zeros(models.generator.w_dim))
        self.register_buffer("open_L1", open_rows(models.generator.num_ws, config.levels), persistent=False)
        self._forget()

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
        self.region.prepare(source, self.models.generator)
        self._forget()
        if self.config.guess:
            self.start_D.copy_(self._start(source))

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
        check_prompts(prompts, len(inversion.keys))
        self.check(prompts)
        generator = self.models.generator
        masks = self.region(inversion, generator)
        edited = generator.styles(self._moved(inversion.ws_BLD, self.latent(inversion.ws_BLD), strength))
        return blend(edited, masks, limits, inversion, generator)

    def _attempt(self, batch: Inversion) -> Attempt:
        """Both images as two renders: in one batch of twice the size, Ibar* would pay for a second branch as well."""
        generator = self.models.generator
        masks = self.region(batch, generator)
        delta_BLD = self.latent(batch.ws_BLD)
        edited = generator.styles(self._moved(batch.ws_BLD, delta_BLD))
        images = [generator.render(edited).clamp(-1, 1)]
        if masks is not None:
            images.insert(0, generator.render(generator.styles(batch.ws_BLD), edited, masks).clamp(-1, 1))
        return Attempt(batch, delta_BLD, masks or (), tuple(images), self.models.clip.image(torch.cat(images)))

    def _moved(self, ws_BLD: Tensor, delta_BLD: Tensor, strength: float = 1.0) -> Tensor:
        """By the start and S^(1/2) delta, which tie all layers together; those of a level that is off do not move."""
        return ws_BLD + strength * self.open_L1 * (self.start_D + self.spread(delta_BLD))

    @torch.no_grad()
    def _start(self, source: Inversion) -> Tensor:
        """Where the texts point by regression over the source, as far as the CLIP terms are least. [D]"""
        parts = [take(source, slice(i, i + EMBEDDED)) for i in range(0, len(source.keys), EMBEDDED)]
        guess = LatentGuess.of(source.ws_BLD.mean(1), torch.cat([self.unedited_clip(part) for part in parts]))
        step_D = guess.unit_D * guess.towards(self.models.clip.direction([self.prompt]))[0]
        found = torch.stack([self._clip_terms(parts[0], place * step_D) for place in PLACES])
        return PLACES[int(found.argmin())] * step_D

    def _clip_terms(self, batch: Inversion, step_D: Tensor) -> Tensor:
        """What CLIP still misses when all layers move by one step."""
        styles = self.models.generator.styles(batch.ws_BLD + self.open_L1 * step_D)
        image_BCHW = self.models.generator.render(styles).clamp(-1, 1)
        nothing_BLD = torch.zeros_like(batch.ws_BLD)
        attempt = Attempt(batch, nothing_BLD, (), (image_BCHW,), self.models.clip.image(image_BCHW))
        return (
            self.config.clip * _clip(self, attempt).mean()
            + self.config.directional * _directional(self, attempt).mean()
        )

    def _forget(self) -> None:
        """Embeddings of another source's samples, which may bear the same keys."""
        self.unedited_clip = Unedited(self.models.clip.image)
        self.unedited_identity = Unedited(self.models.identity)

    def check(self, prompts: Sequence[Prompt]) -> None:
        super().check(prompts)
        others = sorted({str(prompt) for prompt in prompts if prompt != self.prompt})
        if others:
            raise ValueError(f"fitted for {self.prompt}, not for {', '.join(others)}; fit one editor per prompt")


def _clip(editor: CoralEditor, attempt: Attempt) -> Tensor:
    text_1E = editor.models.clip.text([editor.prompt.target])
    return losses.lacking(losses.clip_distance(attempt.embedding_BE, text_1E), editor.config.clip_enough)


def _directional(editor: CoralEditor, attempt: Attempt) -> Tensor:
    source_BE = editor.unedited_clip(attempt.batch).repeat(len(attempt.images), 1)
    towards_1E = editor.models.clip.direction([editor.prompt])
    distance_B = losses.clip_directional(attempt.embedding_BE, source_BE, towards_1E)
    return losses.lacking(distance_B, editor.config.directional_enough)


def _l2(editor: CoralEditor, attempt: Attempt) -> Tensor:
    return losses.latent_l2(attempt.delta_BLD)


def _identity(editor: CoralEditor, attempt: Attempt) -> Tensor:
    edited_BI = editor.models.identity(attempt.images[0])
    return losses.identity_distance(edited_BI, editor.unedited_identity(attempt.batch))


def _area(editor: CoralEditor, attempt: Attempt) -> Tensor:
    return losses.area(attempt.masks)


def _total_variation(editor: CoralEditor, attempt: Attempt) -> Tensor:
    return losses.total_variation(attempt.masks)


def _keep(editor: CoralEditor, attempt: Attempt) -> Tensor:
    mask_B1HW = claimed(attempt.masks, editor.models.image_size)
    return losses.disturbance(attempt.images[0], attempt.batch.recon_BCHW, mask_B1HW)


TERMS: Mapping[str, Callable[[CoralEditor, Attempt], Tensor]] = {
    "clip": _clip,
    "directional": _directional,
    "l2": _l2,
    "identity": _identity,
    "area": _area,
    "total_variation": _total_variation,
    "keep": _keep,
}
"""Every loss term by the name of its weight: per-sample values of one attempt, unweighted."""
