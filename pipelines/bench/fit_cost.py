"""`coral bench fits`: what a fit costs, step by step, and how soon it is good enough.

Every figure of a method comes from one process: a fit with the default options, watched while it runs, and beside it
some steps of the plain loop, which runs in float32 and embeds the unedited images in every step. Watching takes no time
off the clock: edits of a few scenes are judged between two steps.
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
"""Mean judged success over the prompts that a method is timed to."""
EVERY = 10
"""Steps between two looks at a running fit."""
CASES = 16
"""Scenes judged in a look, at most."""
TIMED_STEPS = 6


@dataclass(frozen=True)
class FitCost:
    """What one method's fits cost."""

    method: str
    fit_seconds: float  # of a whole fit, mean over the prompts
    step_seconds: float
    plain_step_seconds: float
    gain: float  # plain step over step
    success: float  # judged, at the end of the fits
    goal_seconds: float | None  # until the mean success reached GOAL; None where it did not


@dataclass
class Watch:
    """The clock of one fit, which stands while the edits are judged."""

    bench: Bench
    method: EditorSpec
    editor: PromptEditor
    cases: Cases
    looks: dict[int, tuple[float, float]] = field(default_factory=dict)  # step -> (seconds, success)
    seconds: float = 0.0
    since: float = field(default_factory=time.perf_counter)

    def __call__(self, step: int, steps: int, losses: Mapping[str, float]) -> None:
        self.seconds += time.perf_counter() - self.since
        if step % EVERY == 0 or step == steps:
            self.looks[step] = self.seconds, self._success()
        self.since = time.perf_counter()

    def _success(self) -> float:
        outcome = edit_cases(self.editor, self.method, self.cases, self.editor.prompt, self.bench.models)
        output_NCHW = tensor_of(list(outcome.output_NHWC)).to(self.bench.models.device)
        return success_rate(self.bench.judges.first.read(output_NCHW), self.cases.wants)


def forgetful(editor: PromptEditor) -> PromptEditor:
    """The editor, but it remembers no embedding from one step to the next."""
    losses = editor.losses

    def forgetting(batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        editor.clear_cache()
        return losses(batch, stage)

    editor.losses = forgetting  # type: ignore[method-assign]
    return editor


@dataclass(frozen=True)
class Course:
    """One fit of one method for one prompt."""

    method: str
    seconds: float
    step_seconds: float
    plain_step_seconds: float
    looks: Mapping[int, tuple[float, float]]


def fit_methods() -> tuple[str, ...]:
    """The methods that are fitted per prompt."""
    return tuple(name for name, row in EDITORS.items() if row.scope is FitScope.PROMPT)


def measure_fits(
    config: QualityConfig, methods: Sequence[str], prompts: Sequence[BenchPrompt], workers: int, on_done: OnDone
) -> list[FitCost]:
    """One per method. ValueError for a method without fits per prompt, or prompts that no scene is a case of."""
    others = sorted(set(methods) - set(fit_methods()))
    if others:
        raise ValueError(f"{', '.join(others)}: not fitted per prompt; choose of {', '.join(fit_methods())}")
    pieces = [(method, prompt) for method in methods for prompt in prompts]
    work = [Work(f"{method}: {prompt.id}", _course, (config, method, prompt)) for method, prompt in pieces]
    courses: list[Course | None] = run_all(work, workers, on_done)
    return [summary([c for c in courses if c is not None and c.method == method]) for method in methods]


def summary(courses: Sequence[Course]) -> FitCost:
    """Means over the prompts of one method."""
    if not courses:
        raise ValueError("no scene is a case of these prompts; give more scenes")
    step = mean(course.step_seconds for course in courses)
    plain = mean(course.plain_step_seconds for course in courses)
    return FitCost(
        method=courses[0].method,
        fit_seconds=mean(course.seconds for course in courses),
        step_seconds=step,
        plain_step_seconds=plain,
        gain=plain / step,
        success=mean(course.looks[max(course.looks)][1] for course in courses),
        goal_seconds=_goal_seconds(courses),
    )


def _goal_seconds(courses: Sequence[Course]) -> float | None:
    """When the mean success first reached GOAL; a fit that has ended stays as good as it was."""
    for step in sorted({step for course in courses for step in course.looks}):
        seen = [course.looks[max(s for s in course.looks if s <= max(step, min(course.looks)))] for course in courses]
        if mean(success for _, success in seen) >= GOAL:
            return mean(seconds for seconds, _ in seen)
    return None


def _course(config: QualityConfig, method: str, prompt: BenchPrompt) -> Course | None:
    bench, row = open_bench(config), spec(method)
    cases = cases_of(bench.scenes, bench.photos, prompt.wants, CASES)
    if cases is None:
        return None
    options = row.resolve({})
    settings = row.fit_config(options)
    source = generator_samples(bench.models, settings.source_samples, settings.source_seed, settings.source_truncation)
    plain_step = _step_seconds(forgetful(_built(bench, method, prompt)), source, replace(settings, precision="float32"))
    editor = _built(bench, method, prompt)  # what the plain loop has learned is forgotten
    watch = Watch(bench, row, editor, cases)
    editor.fit(source, settings, watch)
    taken = watch.looks[max(watch.looks)][0]
    step = _step_seconds(editor, source, settings)
    return Course(method, taken, step, plain_step, watch.looks)


def _built(bench: Bench, method: str, prompt: BenchPrompt) -> PromptEditor:
    """An editor that has learned nothing, on what it builds upon."""
    *bases, own = fits_behind(bench.bundle, method, prompt)
    for each in bases:
        fit_editor(each, bench.models, bench.store)
    base = Editors(bench.store, bench.models).base(method, own.base)
    editor = spec(method).build(own.options, prompt.prompt, bench.models, base)
    assert isinstance(editor, PromptEditor)
    return editor


def _step_seconds(editor: PromptEditor, source: Inversion, config: FitConfig) -> float:
    """Median of a few steps, the first one left out."""
    ends: list[float] = []
    few = replace(config, steps=TIMED_STEPS + 1, settle=0.0)
    editor.fit(source, few, lambda step, steps, losses: ends.append(time.perf_counter()))
    return median(after - before for before, after in pairwise(ends))
