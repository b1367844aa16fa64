"""`coral bench fits`: the time of fits per step, and the time until their edits are good.

All figures of a method come from one process: a fit with the default options, and some steps of the plain loop, which
runs in float32 and embeds the unedited images in every step. During the fit, edits of a few scenes are judged between
two steps; the time of this evaluation is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import mean, median

from torch import Tensor

from coral_core.editors import EDITORS, EditorSpec, FitScope, Stage, spec
from coral_core.editors.coral.prompt_editor import PromptEditor
from coral_core.fit import FitConfig
from coral_core.inversion import generator_samples
from coral_core.types import Inversion
from coral_core.zoo.measure.ground_truth import success_rate
from pipelines.bench.cases import Cases, cases_of
from pipelines.bench.fits import fits_behind
from pipelines.bench.method_quality import Bench, QualityConfig, open_bench
from pipelines.bench.outcome import edit_cases
from pipelines.bench.prompts import BenchPrompt
from pipelines.bench.workers import OnDone, Work, run_all
from tasks.artifacts.loaded import Editors
from tasks.images.tensors import tensor_of
from tasks.worker.fit import fit_editor

GOAL = 0.8
"""Mean judged success over the prompts, 0 to 1; the time until a method reaches it is measured."""
EVALUATION_STEPS = 10
"""Steps between two evaluations of a running fit."""
MAX_CASES = 16
"""Largest number of scenes in an evaluation."""
TIMED_STEPS = 6
"""Steps whose median is the time per step."""


@dataclass(frozen=True)
class FitCost:
    """The times of the fits of one method."""

    method: str
    fit_seconds: float  # mean over the prompts
    step_seconds: float
    plain_step_seconds: float
    gain: float  # plain_step_seconds / step_seconds
    success: float  # judged after the last step, 0 to 1
    goal_seconds: float | None  # until the mean success reached GOAL; None if it did not


@dataclass
class FitMonitor:
    """Measures the seconds of one fit, without those of the evaluations, and evaluates its edits."""

    bench: Bench
    method: EditorSpec
    editor: PromptEditor
    cases: Cases
    evaluations: dict[int, tuple[float, float]] = field(default_factory=dict)  # step -> (seconds, success)
    seconds: float = 0.0
    resumed: float = field(default_factory=time.perf_counter)

    def __call__(self, step: int, steps: int, losses: Mapping[str, float]) -> None:
        self.seconds += time.perf_counter() - self.resumed
        if step % EVALUATION_STEPS == 0 or step == steps:
            self.evaluations[step] = self.seconds, self._success()
        self.resumed = time.perf_counter()

    def _success(self) -> float:
        outcome = edit_cases(self.editor, self.method, self.cases, self.editor.prompt, self.bench.models)
        output_NCHW = tensor_of(list(outcome.output_NHWC)).to(self.bench.models.device)
        return success_rate(self.bench.judges.first.read(output_NCHW), self.cases.wants)


def without_cached_embeddings(editor: PromptEditor) -> PromptEditor:
    """Change the editor so that it embeds the unedited images again in every step, and return it."""
    losses = editor.losses

    def uncached_losses(batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        editor.clear_cache()
        return losses(batch, stage)

    editor.losses = uncached_losses  # type: ignore[method-assign]
    return editor


@dataclass(frozen=True)
class FitMeasurement:
    """The times of one fit of one method for one prompt."""

    method: str
    seconds: float
    step_seconds: float
    plain_step_seconds: float
    evaluations: Mapping[int, tuple[float, float]]  # step -> (seconds, success)


def fit_methods() -> tuple[str, ...]:
    """The methods that are fitted per prompt."""
    return tuple(name for name, row in EDITORS.items() if row.scope is FitScope.PROMPT)


def measure_fits(
    config: QualityConfig, methods: Sequence[str], prompts: Sequence[BenchPrompt], workers: int, on_done: OnDone
) -> list[FitCost]:
    """One result per method. ValueError for a method without fits per prompt, and if the prompts apply to no scene."""
    others = sorted(set(methods) - set(fit_methods()))
    if others:
        raise ValueError(f"{', '.join(others)}: not fitted per prompt; choose one of {', '.join(fit_methods())}")
    pieces = [(method, prompt) for method in methods for prompt in prompts]
    work = [Work(f"{method}: {prompt.id}", _measure_fit, (config, method, prompt)) for method, prompt in pieces]
    fits: list[FitMeasurement | None] = run_all(work, workers, on_done)
    return [summary([fit for fit in fits if fit is not None and fit.method == method]) for method in methods]


def summary(fits: Sequence[FitMeasurement]) -> FitCost:
    """Means over the prompts of one method."""
    if not fits:
        raise ValueError("these prompts apply to none of the scenes; give more scenes")
    step = mean(fit.step_seconds for fit in fits)
    plain = mean(fit.plain_step_seconds for fit in fits)
    return FitCost(
        method=fits[0].method,
        fit_seconds=mean(fit.seconds for fit in fits),
        step_seconds=step,
        plain_step_seconds=plain,
        gain=plain / step,
        success=mean(fit.evaluations[max(fit.evaluations)][1] for fit in fits),
        goal_seconds=_goal_seconds(fits),
    )


def _goal_seconds(fits: Sequence[FitMeasurement]) -> float | None:
    """Mean seconds when the mean success first reached GOAL. A fit that has ended keeps its last success."""
    for step in sorted({step for fit in fits for step in fit.evaluations}):
        last = [_last_evaluation(fit, step) for fit in fits]
        if mean(success for _, success in last) >= GOAL:
            return mean(seconds for seconds, _ in last)
    return None


def _last_evaluation(fit: FitMeasurement, step: int) -> tuple[float, float]:
    """(seconds, success) at or before a step; the first evaluation if there is none before."""
    before = [each for each in fit.evaluations if each <= step]
    return fit.evaluations[max(before, default=min(fit.evaluations))]


def _measure_fit(config: QualityConfig, method: str, prompt: BenchPrompt) -> FitMeasurement | None:
    bench, row = open_bench(config), spec(method)
    cases = cases_of(bench.scenes, bench.inversion, prompt.wants, MAX_CASES)
    if cases is None:
        return None
    options = row.resolve({})
    settings = row.fit_config(options)
    source = generator_samples(bench.models, settings.source_samples, settings.source_seed, settings.source_truncation)
    plain = without_cached_embeddings(_built(bench, method, prompt))
    plain_step = _step_seconds(plain, source, replace(settings, precision="float32"))
    editor = _built(bench, method, prompt)  # a new one, without the weights from the plain loop
    monitor = FitMonitor(bench, row, editor, cases)
    editor.fit(source, settings, monitor)
    taken = monitor.evaluations[max(monitor.evaluations)][0]
    step = _step_seconds(editor, source, settings)
    return FitMeasurement(method, taken, step, plain_step, monitor.evaluations)


def _built(bench: Bench, method: str, prompt: BenchPrompt) -> PromptEditor:
    """An untrained editor of a method, with its fitted base."""
    *bases, own = fits_behind(bench.bundle, method, prompt)
    for each in bases:
        fit_editor(each, bench.models, bench.store)
    base = Editors(bench.store, bench.models).base(method, own.base)
    editor = spec(method).build(own.options, prompt.prompt, bench.models, base)
    assert isinstance(editor, PromptEditor)
    return editor


def _step_seconds(editor: PromptEditor, source: Inversion, config: FitConfig) -> float:
    """Median seconds of TIMED_STEPS steps; the first step is not counted."""
    ends: list[float] = []
    few = replace(config, steps=TIMED_STEPS + 1, settle=0.0)
    editor.fit(source, few, lambda step, steps, losses: ends.append(time.perf_counter()))
    return median(after - before for before, after in pairwise(ends))
