"""StyleCLIP's latent optimisation: the edit of every image is optimised on its own, and there is no artifact.

Paper: arXiv 2103.17249, section 4. From the inversion w of an image, with x = G(w + std * delta) and std the standard
deviation of w, minimise over delta
    L = clip * (1 - cos(x, target)) + directional * L_dir + l2 * |delta|^2 + identity * L_id
by Adam with the learning-rate ramp of fit.py.

Deviations and why:
- delta is in standard deviations of w and every term is a mean (losses.py): weights hold for other generators.
- L_dir, as in coral.py: the difference of two texts names the change and nothing else.
- The search does not start at w. From w, CLIP's gradient leads to patterns with a high similarity before it leads to
  the edit: on the dev prompts (8 scenes each) 53 to 89 % judged success, the higher the more smeared. `start` is
  `transport`: at its edit of the sample (../transport/), and |delta|^2 counts from there; or `regression`: on the line
  from w in the direction of the text by a regression (text_regression.py), at the best of a few lengths (94 to 97 %
  judged, but half of the hair still blue); or `none`.
- L_embedding, as in ../coral/prompt_editor.py, in place of both CLIP terms when the search starts at transport.
- delta is one edit of all layers plus LAYER_EDIT_SCALE times an edit of each layer. Latents of real images differ
  little between layers; with independent layers the search leaves the latents that the generator renders well.
- CLIP gets a slightly different view of the image in every step (random_views.py).
- The search of a sample ends when its loss has settled; published: a fixed number of steps for all.
- Samples are optimised in batches of one size, the last one filled up, and the loss is a sum over samples: the result
  of a sample does not depend on the other samples bit for bit, nor, where widths are multiples of 16, on its position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar, get_args

import torch
from torch import Tensor

from coral_core import losses
from coral_core.editors.base import Editor, EditProgress, FitScope, check_prompts
from coral_core.editors.coral.prompt_config import LatentConfig
from coral_core.editors.latent.slots import open_rows
from coral_core.editors.latent.text_regression import STEP_LENGTHS, TextRegression
from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.styleclip.random_views import Views
from coral_core.editors.transport.transport import Transport
from coral_core.fit import BETAS, ramp
from coral_core.inversion import take
from coral_core.precision import Precision, autocast
from coral_core.types import Edit, Inversion, Prompt, SampleRng

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

BATCH_SIZE = 8
"""Number of samples optimised at a time."""
LAYER_EDIT_SCALE = 0.3
"""Factor of the edit of a single layer, relative to the edit that all layers share."""
PATIENCE = 8
"""Number of steps within which the loss of a sample must fall, or its search ends."""
LOSS_DECAY = 0.8
"""Decay of the running mean of a sample's loss per step. The random views make single losses noisy."""


@dataclass(frozen=True, kw_only=True)
class OptimizationConfig(LatentConfig):
    """Weights and levels of every latent edit, the length of the search, and the random views of CLIP."""

    clip: float = 0.0  # hinge of cos(edited image, target text) below clip_enough
    clip_enough: float = 1.0
    directional: float = 0.0  # hinge of cos(edited - original image, target - source text) below directional_enough
    directional_enough: float = 1.0
    embedding: float = 4.0
    l2: float = 1.0
    latent_rate: float = 0.05  # Adam's learning rate, in standard deviations of w
    steps: int = 40  # at most, for each image
    settled: float = 0.01  # the search of an image ends when its loss falls by less within 8 steps; 0: never early
    guess_samples: int = 1024  # generator samples for the regression and for the standard deviation of w
    shift: float = 0.06  # largest shift of CLIP's random views, as a fraction of the side
    scale: float = 0.1  # largest enlargement or reduction of the views
    noise: float = 0.05  # standard deviation of the noise of the views, images in [-1,1]
    precision: Precision = "bfloat16"  # the search runs under autocast; the final image is float32 either way

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = ("steps", "settled", "shift", "scale", "noise")
        wrong = [f"{name} = {getattr(self, name)}" for name in numbers if getattr(self, name) < 0]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} cannot be negative")
        if self.guess_samples < 2:
            raise ValueError(f"guess_samples is {self.guess_samples}; one sample has no spread, give hundreds")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision is {self.precision!r}; choose one of {', '.join(get_args(Precision))}")


@dataclass(frozen=True)
class Objective:
    """The inputs of the loss of one batch."""

    batch: Inversion
    start_BLD: Tensor  # change of w at which the search starts, in standard deviations of w
    text_BE: Tensor  # target texts
    direction_BE: Tensor  # target minus source texts, normalised
    target_BE: Tensor | None  # embeddings of the edited images by transport, if the search starts there
    source_BE: Tensor  # CLIP embeddings of the reconstructions
    source_BI: Tensor  # identity embeddings of the reconstructions
    rng: SampleRng  # of the random views


class LatentOptimization(Editor):
    """Optimises a latent edit for every sample."""

    fit_scope: ClassVar[FitScope] = FitScope.IMAGE

    def __init__(self, models: Models, config: OptimizationConfig, base: Transport | None = None) -> None:
        """`base`: the fitted transport, at whose edits `start: transport` begins; not used otherwise."""
        super().__init__(models)
        self.config = config
        self._base = (base,)  # in a tuple, so that it is not in state_dict(): it is an artifact of its own
        self.views = Views(shift=config.shift, scale=config.scale, noise=config.noise)

    @classmethod
    def assemble(
        cls, config: OptimizationConfig, prompt: Prompt | None, models: Models, base: Editor | None = None
    ) -> LatentOptimization:
        """An editor for any prompt; `prompt` is not used."""
        assert base is None or isinstance(base, Transport), "the table says what this builds upon"
        return cls(models, config, base)

    @cached_property
    def regression(self) -> TextRegression:
        """The regression, equal in every process. Other starts need its standard deviation of w only."""
        return TextRegression.measure(self.models, self.config.guess_samples, self.config.precision)

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
        """Search each sample's edit and apply it at `strength`; `seed` seeds the random views."""
        check_prompts(prompts, len(inversion.keys), combines_wishes=self._base != (None,))
        generator = self.models.generator
        delta_BLD = self.search(inversion, prompts, seed, progress)
        edited = generator.styles(inversion.ws_BLD + strength * self.regression.std_D * delta_BLD)
        return blend(edited, None, limits, inversion, generator)

    def search(
        self, inversion: Inversion, prompts: Sequence[Prompt], seed: int = 0, progress: EditProgress | None = None
    ) -> Tensor:
        """The edit of each sample, start plus delta, [B,L,D] in standard deviations of w.

        Batches have BATCH_SIZE samples; the last sample is repeated to fill the last batch. `progress` is called after
        every step of the optimiser with the share of all steps that are done.
        """
        count, device = len(inversion.keys), inversion.ws_BLD.device
        _ = self.regression  # measured outside of autocast
        deltas = []
        for start in range(0, count, BATCH_SIZE):
            index = torch.arange(start, start + BATCH_SIZE).clamp(max=count - 1)
            chosen = [prompts[position] for position in index.tolist()]
            share = min(BATCH_SIZE, count - start) / count
            report = partial(_report, progress, start / count, share)
            deltas.append(self._search_batch(take(inversion, index.to(device)), chosen, seed, report))
        return torch.cat(deltas)[:count]

    @torch.no_grad()
    def _search_batch(self, batch: Inversion, prompts: Sequence[Prompt], seed: int, progress: EditProgress) -> Tensor:
        """Start plus delta, [B,L,D], of one batch, each sample at the step in which its loss had settled."""
        config, objective = self.config, self._objective(batch, prompts, seed)
        parts_BKD = self._start_parts(objective).requires_grad_()
        found_BKD, active_B11 = parts_BKD.detach().clone(), torch.ones_like(parts_BKD[:, :1, :1], dtype=torch.bool)
        optimiser = torch.optim.Adam([parts_BKD], betas=BETAS)
        means: list[Tensor] = []
        for step in range(config.steps):
            optimiser.param_groups[0]["lr"] = config.latent_rate * ramp((step + 0.5) / config.steps)
            with torch.enable_grad():
                loss_B = self._loss(objective, parts_BKD, self.views)
                (parts_BKD.grad,) = torch.autograd.grad(loss_B.sum(), parts_BKD)
            optimiser.step()
            progress((step + 1) / config.steps)
            found_BKD = torch.where(active_B11, parts_BKD.detach(), found_BKD)
            means.append(torch.lerp(loss_B.detach(), means[-1], LOSS_DECAY) if means else loss_B.detach())
            if config.settled and step >= PATIENCE:
                active_B11 = active_B11 & (means[-1 - PATIENCE] - means[-1] >= config.settled)[:, None, None]
                if not active_B11.any():
                    break
        return objective.start_BLD + self._delta(found_BKD)

    def _objective(self, batch: Inversion, prompts: Sequence[Prompt], seed: int) -> Objective:
        models = self.models
        with autocast(self.models.device, self.config.precision):
            source_BE, source_BI = models.clip.image(batch.recon_BCHW), models.identity(batch.recon_BCHW)
        text_BE = models.clip.text([prompt.target for prompt in prompts])
        start_BLD, target_BE = torch.zeros_like(batch.ws_BLD), None
        (base,) = self._base
        if base is not None:
            alone = [base.moved(take(batch, slice(i, i + 1)), [prompt]) for i, prompt in enumerate(prompts)]
            moved_BD, target_BE = (torch.cat(parts) for parts in zip(*alone, strict=True))
            start_BLD += self._open_rows(start_BLD) * moved_BD[:, None] / self.regression.std_D
        return Objective(
            batch=batch,
            start_BLD=start_BLD,
            text_BE=text_BE,
            direction_BE=models.clip.direction(prompts),
            target_BE=target_BE,
            source_BE=source_BE,
            source_BI=source_BI,
            rng=SampleRng(batch.keys, seed),
        )

    def _start_parts(self, objective: Objective) -> Tensor:
        """The parts [B, 1 + L, D] of delta, the one of all layers first, at the start with the least loss."""
        batch_BLD = objective.batch.ws_BLD
        parts_BKD = batch_BLD.new_zeros(len(batch_BLD), 1 + batch_BLD.shape[1], batch_BLD.shape[2])
        if self.config.start != "regression":
            return parts_BKD
        parts_BKD[:, 0] = self.regression.latent_direction(objective.direction_BE)
        losses_SB = torch.stack([self._loss(objective, length * parts_BKD, None) for length in STEP_LENGTHS])
        length_B = parts_BKD.new_tensor(STEP_LENGTHS)[losses_SB.argmin(0)]
        return length_B[:, None, None] * parts_BKD

    def _delta(self, parts_BKD: Tensor) -> Tensor:
        """delta_BLD of the parts; rows of levels that are off are zero."""
        delta_BLD = parts_BKD[:, :1] + LAYER_EDIT_SCALE * parts_BKD[:, 1:]
        return self._open_rows(delta_BLD) * delta_BLD

    def _open_rows(self, like_BLD: Tensor) -> Tensor:
        return open_rows(like_BLD.shape[1], self.config.levels).to(like_BLD)

    def _loss(self, objective: Objective, parts_BKD: Tensor, views: Views | None) -> Tensor:
        """L of each sample, [B]. Without `views` CLIP gets the image itself."""
        config, models, delta_BLD = self.config, self.models, self._delta(parts_BKD)
        with autocast(self.models.device, self.config.precision):
            styles = models.generator.styles(
                objective.batch.ws_BLD + self.regression.std_D * (objective.start_BLD + delta_BLD)
            )
            image_BCHW = models.generator.render(styles).clamp(-1, 1)
            image_BE = models.clip.image(image_BCHW if views is None else views.draw(image_BCHW, objective.rng))
            clip_B = losses.clip_distance(image_BE, objective.text_BE)
            directional_B = losses.clip_directional(image_BE, objective.source_BE, objective.direction_BE)
            loss_B = (
                config.clip * losses.hinge(clip_B, config.clip_enough)
                + config.directional * losses.hinge(directional_B, config.directional_enough)
                + config.l2 * losses.latent_l2(delta_BLD)
            )
            if objective.target_BE is not None and config.embedding:
                loss_B = loss_B + config.embedding * losses.clip_distance(image_BE, objective.target_BE)
            if not config.identity:
                return loss_B
            return loss_B + config.identity * losses.identity_distance(models.identity(image_BCHW), objective.source_BI)


def _report(progress: EditProgress | None, before: float, share: float, done: float) -> None:
    """Pass on the progress of one batch, which is a share of the call, after what was done before it."""
    if progress is not None:
        progress(before + share * done)
