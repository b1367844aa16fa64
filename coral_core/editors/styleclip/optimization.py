"""StyleCLIP's latent optimisation: every image is its own small fit, and nothing is kept.

Paper: arXiv 2103.17249, section 4. From the inversion w of an image, with x = G(w + unit * delta), over delta minimise
    L = clip * (1 - cos(x, target)) + directional * L_dir + l2 * |delta|^2 + identity * L_id
by Adam under the ramp of fit.py.

Deviations and why:
- delta is in standard deviations of w and every term is a mean (losses.py): weights carry over between generators.
- L_dir, as in coral.py: the difference of two texts names the change and nothing else.
- The search starts on the line from w towards a rough guess of where the text points (guess.py), at the best of a few
  places on it, and not at w. From w, CLIP's gradient finds patterns that please CLIP before it finds the edit: on the
  dev prompts (8 scenes each) 53 to 89 % judged success, the higher the more smeared, and 94 to 97 % with the guess.
- delta is one edit of all layers plus OWN times an edit of each layer. Latents of real images differ little between
  layers; free layers leave what the generator can draw well.
- CLIP sees a slightly different view in every step (views.py).
- A sample whose loss has settled is done; published: a fixed number of steps for all.
- Samples go in batches of one size, the last one filled up, and the loss is a sum over samples: a sample's bits do not
  depend on its neighbours, nor, where widths are multiples of 16, on its place among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, get_args

import torch
from torch import Tensor

from coral_core import losses
from coral_core.editors.base import Editor, FitScope, check_prompts
from coral_core.editors.coral.coral import EditConfig
from coral_core.editors.latent.slots import open_rows
from coral_core.editors.latent.text_regression import GUESS_STEPS, LatentGuess
from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.styleclip.random_views import Views
from coral_core.fit import BETAS, ramp
from coral_core.inversion import take
from coral_core.precision import Precision, autocast
from coral_core.types import Edit, Inversion, Prompt, SampleRng

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

TOGETHER = 8
"""Samples optimised at a time."""
OWN = 0.3
"""How fast a layer's own edit moves, compared with the edit that all layers share."""
PATIENCE = 8
"""Steps within which a loss must fall, or its sample is done."""
MEMORY = 0.8
"""Share of the past in the running mean of a sample's loss, which the views make noisy."""


@dataclass(frozen=True, kw_only=True)
class OptimizationConfig(EditConfig):
    """Weights and levels as of every latent edit; how long to search, and what CLIP is shown."""

    clip: float = 0.5  # 1 - cos(edited image, target text), as far as it is above 1 - clip_enough
    clip_enough: float = 1.0
    directional: float = 2.0  # 1 - cos(edited - original image, target - source text), likewise
    directional_enough: float = 1.0
    l2: float = 0.1  # mean square of the edit, in standard deviations of w, from the inversion
    latent_rate: float = 0.05  # Adam's learning rate, in standard deviations of w
    steps: int = 40  # at most, for each image
    settled: float = 0.01  # an image whose loss falls by less within 8 steps is done; 0 takes all steps
    guess_samples: int = 1024  # generator samples behind the guess, and behind the standard deviation of w
    shift: float = 0.06  # views that CLIP is shown: largest shift, as a fraction of the side
    scale: float = 0.1  # their largest enlargement or reduction
    noise: float = 0.05  # standard deviation of their noise, pixels being in [-1,1]
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
class Goal:
    """What one batch is optimised for."""

    batch: Inversion
    text_BE: Tensor
    direction_BE: Tensor
    source_BE: Tensor  # CLIP of the reconstructions
    source_BI: Tensor  # their identity
    rng: SampleRng


class LatentOptimization(Editor):
    """Searches an edit for every sample."""

    fit_scope: ClassVar[FitScope] = FitScope.IMAGE

    def __init__(self, models: Models, config: OptimizationConfig) -> None:
        super().__init__(models)
        self.config = config
        self.views = Views(shift=config.shift, scale=config.scale, noise=config.noise)

    @classmethod
    def assemble(cls, config: OptimizationConfig, prompt: Prompt | None, models: Models) -> LatentOptimization:
        """For any prompt."""
        return cls(models, config)

    @cached_property
    def guess(self) -> LatentGuess:
        """The same in every process; measured before the first edit, for its unit even where no search starts at it."""
        return LatentGuess.measured(self.models, self.config.guess_samples, self.config.precision)

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
        """Search each sample's edit and apply it at `strength`; `seed` is that of the views."""
        check_prompts(prompts, len(inversion.keys))
        generator = self.models.generator
        delta_BLD = self.found(inversion, prompts, seed)
        edited = generator.styles(inversion.ws_BLD + strength * self.guess.unit_D * delta_BLD)
        return blend(edited, None, limits, inversion, generator)

    def found(self, inversion: Inversion, prompts: Sequence[Prompt], seed: int = 0) -> Tensor:
        """The edit of each sample, delta_BLD in standard deviations of w: TOGETHER at a time, the last one repeated."""
        count, device = len(inversion.keys), inversion.ws_BLD.device
        _ = self.guess  # measured outside of autocast
        deltas = []
        for start in range(0, count, TOGETHER):
            index = torch.arange(start, start + TOGETHER).clamp(max=count - 1)
            chosen = [prompts[position] for position in index.tolist()]
            deltas.append(self._search(take(inversion, index.to(device)), chosen, seed))
        return torch.cat(deltas)[:count]

    @torch.no_grad()
    def _search(self, batch: Inversion, prompts: Sequence[Prompt], seed: int) -> Tensor:
        """delta_BLD of one batch; each sample's is that of the step in which it settled."""
        config, goal = self.config, self._goal(batch, prompts, seed)
        parts_BKD = self._start(goal).requires_grad_()
        found_BKD, open_B11 = parts_BKD.detach().clone(), torch.ones_like(parts_BKD[:, :1, :1], dtype=torch.bool)
        optimiser = torch.optim.Adam([parts_BKD], betas=BETAS)
        means: list[Tensor] = []
        for step in range(config.steps):
            optimiser.param_groups[0]["lr"] = config.latent_rate * ramp((step + 0.5) / config.steps)
            with torch.enable_grad():
                loss_B = self._loss(goal, parts_BKD, self.views)
                (parts_BKD.grad,) = torch.autograd.grad(loss_B.sum(), parts_BKD)
            optimiser.step()
            found_BKD = torch.where(open_B11, parts_BKD.detach(), found_BKD)
            means.append(torch.lerp(loss_B.detach(), means[-1], MEMORY) if means else loss_B.detach())
            if config.settled and step >= PATIENCE:
                open_B11 = open_B11 & (means[-1 - PATIENCE] - means[-1] >= config.settled)[:, None, None]
                if not open_B11.any():
                    break
        return self._delta(found_BKD)

    def _goal(self, batch: Inversion, prompts: Sequence[Prompt], seed: int) -> Goal:
        models = self.models
        with autocast(self.models.device, self.config.precision):
            source_BE, source_BI = models.clip.image(batch.recon_BCHW), models.identity(batch.recon_BCHW)
        text_BE = models.clip.text([prompt.target for prompt in prompts])
        return Goal(batch, text_BE, models.clip.direction(prompts), source_BE, source_BI, SampleRng(batch.keys, seed))

    def _start(self, goal: Goal) -> Tensor:
        """The parts [B, 1 + L, D] of delta, all layers' first: at the place of the guess where the loss is least."""
        batch_BLD = goal.batch.ws_BLD
        parts_BKD = batch_BLD.new_zeros(len(batch_BLD), 1 + batch_BLD.shape[1], batch_BLD.shape[2])
        if not self.config.guess:
            return parts_BKD
        parts_BKD[:, 0] = self.guess.towards(goal.direction_BE)
        losses_PB = torch.stack([self._loss(goal, place * parts_BKD, None) for place in GUESS_STEPS])
        place_B = parts_BKD.new_tensor(GUESS_STEPS)[losses_PB.argmin(0)]
        return place_B[:, None, None] * parts_BKD

    def _delta(self, parts_BKD: Tensor) -> Tensor:
        """delta_BLD; rows of levels that are off are zero."""
        delta_BLD = parts_BKD[:, :1] + OWN * parts_BKD[:, 1:]
        return open_rows(delta_BLD.shape[1], self.config.levels).to(delta_BLD) * delta_BLD

    def _loss(self, goal: Goal, parts_BKD: Tensor, views: Views | None) -> Tensor:
        """L of each sample, of the image itself without views."""
        config, models, delta_BLD = self.config, self.models, self._delta(parts_BKD)
        with autocast(self.models.device, self.config.precision):
            styles = models.generator.styles(goal.batch.ws_BLD + self.guess.unit_D * delta_BLD)
            image_BCHW = models.generator.render(styles).clamp(-1, 1)
            image_BE = models.clip.image(image_BCHW if views is None else views.draw(image_BCHW, goal.rng))
            clip_B = losses.clip_distance(image_BE, goal.text_BE)
            directional_B = losses.clip_directional(image_BE, goal.source_BE, goal.direction_BE)
            loss_B = (
                config.clip * losses.lacking(clip_B, config.clip_enough)
                + config.directional * losses.lacking(directional_B, config.directional_enough)
                + config.l2 * losses.latent_l2(delta_BLD)
            )
            if not config.identity:
                return loss_B
            return loss_B + config.identity * losses.identity_distance(models.identity(image_BCHW), goal.source_BI)
