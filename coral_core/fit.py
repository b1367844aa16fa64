"""Fitting an editor: one loop over stages, minibatches and Adam.

Schedule: StyleCLIP's (optimization/run_optimization.py): linear ramp-up over the first 5 % of a stage, cosine ramp-down
over its last 25 %. Deviations: Adam where the published mappers use Ranger, which no longer runs on current PyTorch and
whose learning rates do not carry over; the ramp is evaluated in the middle of each step, so that no step has rate zero;
the ramp-down begins at once when the loss has settled.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from statistics import mean
from typing import Protocol, get_args

import torch
from torch import Tensor

from coral_core.inversion import take
from coral_core.precision import Precision, autocast
from coral_core.stages import Stage
from coral_core.types import Inversion

BETAS = (0.9, 0.99)
"""Adam's decay rates. A fit has hundreds of steps, so the second moment averages over about 100 steps, not 1,000."""
RAMP_UP = 0.05
RAMP_DOWN = 0.25
"""Shares of a stage in which the learning rate rises and falls."""
LOSS_DECAY = 0.95
"""Decay of the running mean of a reported loss per step (it covers about the last 20 steps)."""

SETTLE_WINDOW = 20
"""Number of steps whose mean loss is compared with the mean loss of as many steps before them."""

Progress = Callable[[int, int, Mapping[str, float]], None]
"""Called after each step with (steps done or skipped, total steps, running means of the losses)."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How long a fit runs and on what. Learning rates belong to the editor's stages."""

    steps: int = 100  # optimiser steps over all stages, at most
    settle: float = 0.002  # a stage ramps down when 20 steps lower its loss by less than this share; 0: never early
    batch_size: int = 8  # samples per step
    source_samples: int = 512  # generator samples that make the default training source
    source_seed: int = 0  # their seed
    source_truncation: float = 1.0  # their truncation; 1 keeps the generator's full variety
    seed: int = 0  # initial parameters and order of the minibatches
    precision: Precision = "bfloat16"  # the networks run under autocast; parameters and losses stay float32 either way

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "source_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more")
        if not 0 <= self.settle < 1:
            raise ValueError(f"settle is {self.settle}; give a share from 0, which waits for every step, to below 1")
        if not 0 < self.source_truncation <= 1:
            raise ValueError(f"source_truncation is {self.source_truncation}; give a number above 0, up to 1")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision is {self.precision!r}; choose one of {', '.join(get_args(Precision))}")


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """The result of a fit as plain numbers that JSON can hold."""

    steps: int  # optimiser steps taken
    seconds: float  # wall-clock time, including preparation
    losses: dict[str, float]  # running mean of every weighted term at the end, and "total"


class Fittable(Protocol):
    """The interface that fit() needs: stages, and losses of a batch. coral_core.editors.base.Editor implements it."""

    def prepare(self, source: Inversion) -> None:
        """Take statistics of the training source; called once, before the first step."""
        ...

    def stages(self) -> Sequence[Stage]:
        """The stages of the fit, in order."""
        ...

    def losses(self, batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        """Loss terms by name: scalars, weighted, averaged over the batch. Their sum is minimised."""
        ...


def fit(editor: Fittable, source: Inversion, config: FitConfig, progress: Progress | None = None) -> FitReport:
    """Train `editor` in place on minibatches of `source`, one stage after the other.

    Errors: RuntimeError that names the terms when a loss is not finite.
    """
    started = time.perf_counter()
    editor.prepare(source)
    batches = minibatches(len(source.keys), config.batch_size, config.seed)
    steps_taken, running = 0, dict[str, float]()
    for stage, span in schedule(editor.stages(), config.steps):
        optimiser = torch.optim.Adam([{"params": list(group.parameters)} for group in stage.groups], betas=BETAS)
        parameters = list(chain.from_iterable(group.parameters for group in stage.groups))
        counter = StepCounter(span, config.settle)
        if span:
            running = {}
        while (step := counter.step) in span:
            for group, settings in zip(stage.groups, optimiser.param_groups, strict=True):
                settings["lr"] = group.learning_rate * ramp((step - span.start + 0.5) / len(span))
            batch = take(source, next(batches).to(source.ws_BLD.device))
            with autocast(batch.ws_BLD.device, config.precision):
                terms = editor.losses(batch, stage)
            total = torch.stack(list(terms.values())).sum()
            values = finite_values({**terms, "total": total}, stage, step)
            _update_means(running, values)
            for parameter, gradient in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
                parameter.grad = gradient
            optimiser.step()
            steps_taken += 1
            counter.advance(values["total"])
            if progress is not None:
                progress(counter.step, config.steps, dict(running))
        optimiser.zero_grad(set_to_none=True)
    return FitReport(steps=steps_taken, seconds=time.perf_counter() - started, losses=running)


class StepCounter:
    """Counts the steps of one stage, and skips to its ramp-down when the loss has settled.

    `step` is the number of the next step; the stage is over when it is no longer in `span`.
    """

    def __init__(self, span: range, settle: float) -> None:
        self.step = span.start
        self.ramp_down = span.start + round((1 - RAMP_DOWN) * len(span))
        self.settle = settle
        self._recent: deque[float] = deque(maxlen=2 * SETTLE_WINDOW)

    def advance(self, loss: float) -> None:
        """Go to the next step; `loss` is that of the step just taken."""
        self._recent.append(loss)
        self.step = max(self.step + 1, self.ramp_down) if self._has_settled() else self.step + 1

    def _has_settled(self) -> bool:
        """Whether the mean loss of the last steps is not `settle` (a share) below that of as many steps before them."""
        if not self.settle or len(self._recent) < 2 * SETTLE_WINDOW:
            return False
        losses = list(self._recent)
        return mean(losses[SETTLE_WINDOW:]) > (1 - self.settle) * mean(losses[:SETTLE_WINDOW])


def ramp(t: float) -> float:
    """Learning-rate factor at the fraction t of a stage: 0 at both ends, 1 from 5 % to 75 %."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / RAMP_DOWN))
    return down * min(1.0, t / RAMP_UP)


def schedule(stages: Sequence[Stage], steps: int) -> list[tuple[Stage, range]]:
    """Each stage with its range of global step numbers, in proportion to the stages' shares."""
    ends = list(accumulate((stage.share for stage in stages), initial=0.0))
    bounds = [round(steps * end / ends[-1]) for end in ends]
    return [(stage, range(*span)) for stage, span in zip(stages, pairwise(bounds), strict=True)]


def minibatches(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """Endless batches of int64 indices: shuffled passes over `count` samples, each without an incomplete last batch."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order.split(size)[: max(1, count // size)]


def finite_values(terms: Mapping[str, Tensor], stage: Stage, step: int) -> dict[str, float]:
    """The terms as floats (one device synchronisation). RuntimeError that names the terms that are not finite."""
    values = dict(zip(terms, torch.stack(list(terms.values())).detach().tolist(), strict=True))
    broken = [f"{name} = {value}" for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise RuntimeError(
            f"fit: stage {stage.name!r}, step {step + 1}: {', '.join(broken)}; "
            "lower the learning rates, or use precision float32 if this ran in bfloat16"
        )
    return values


def _update_means(running: dict[str, float], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        running[name] = LOSS_DECAY * running.get(name, value) + (1 - LOSS_DECAY) * value
