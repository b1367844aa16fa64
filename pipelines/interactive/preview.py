"""`coral preview`: a page with a few samples of a job at several strengths, before the job is run.

It works in this process. Editors that are fitted with the job's own settings are stored in the output's editors/, and
the run uses them; editors fitted with fewer steps are deleted. Nothing else is written into the output.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from coral_core.bundle.models import Models, load_models
from coral_core.editors import EDITORS, FitScope
from manifests.stores.open import open_store
from manifests.stores.store import Store
from pipelines.jobfile.job import Job
from pipelines.report.charts import StrengthChart, strength_chart
from pipelines.report.page import render
from pipelines.report.score_labels import SCORES, Score
from tasks.artifacts.loaded import load_editor
from tasks.gallery.strength_sweep import SweptSample, read_items, sweep
from tasks.inputs.find import expand
from tasks.plan.plan import Plan, make_plan
from tasks.shards.batch import Item
from tasks.spec.gates import BOUNDS
from tasks.spec.job import EditEntry, JobSpec
from tasks.spec.requests import EditSpec
from tasks.worker.fit import fit_editor
from tasks.worker.pulse import OnPulse, Pulse

FACTORS = (0.5, 1.0, 1.5, 2.0)
"""Strengths that are tried, as multiples of the job's strength."""

STRENGTH_SCORES = {name: score for name, score in SCORES.items() if name != "inversion_error"}
"""Scores that depend on the strength."""

OnMessage = Callable[[str], None]
"""Receives one line of text about the progress."""


@dataclass(frozen=True, kw_only=True)
class PreviewOptions:
    """Which samples and strengths a preview shows."""

    samples: int = 16
    seed: int | None = None  # None: the first samples of the input; otherwise random ones
    steps: int | None = None  # of every fit; None: as in the job
    factors: tuple[float, ...] = FACTORS  # strengths, as multiples of the job's


@dataclass(frozen=True)
class Strength:
    """All samples of an edit at one strength."""

    value: float
    own: bool  # whether it is the job's strength
    medians: Mapping[str, float]  # of each score
    passed: int  # samples that pass all gates


@dataclass(frozen=True)
class StrengthCurve:
    """One score of an edit, by strength."""

    score: Score
    chart: StrengthChart


@dataclass(frozen=True, kw_only=True)
class EditPreview:
    """The section of one edit."""

    spec: EditSpec
    gates: Mapping[str, float]
    strengths: tuple[Strength, ...]
    samples: tuple[SweptSample, ...]
    unmasked: Mapping[tuple[str, str], int]  # (status, reason) of samples without the mask it needs -> how many

    @property
    def shown(self) -> int:
        """Index of the strength whose mask, difference and scores are shown: the job's if tried, else the last."""
        return next((index for index, each in enumerate(self.strengths) if each.own), len(self.strengths) - 1)

    @property
    def rejecting(self) -> list[str]:
        """Gates that reject at least one sample at the shown strength."""
        verdicts = (sample.cells[self.shown].gate for sample in self.samples)
        return list(dict.fromkeys(gate for gate in verdicts if gate))

    @property
    def curves(self) -> list[StrengthCurve]:
        """The charts of STRENGTH_SCORES; none without samples."""
        scores = STRENGTH_SCORES if self.samples else {}
        return [StrengthCurve(score, self._strength_chart(name)) for name, score in scores.items()]

    def _strength_chart(self, name: str) -> StrengthChart:
        by_strength = {
            strength.value: [sample.cells[index].scores[name] for sample in self.samples]
            for index, strength in enumerate(self.strengths)
        }
        return strength_chart(
            by_strength, {gate: each for gate, each in self.gates.items() if BOUNDS[gate].score == name}
        )


def preview(job: Job, options: PreviewOptions, on_message: OnMessage) -> str:
    """The page as HTML. Errors: ValueError if an input, a bundle or a reference of the job does not exist."""
    spec = job.spec() if options.steps is None else shortened(job.spec(), options.steps)
    plan = make_plan(replace(spec, inputs=(first_input(spec),)))  # the ids of fits and edits do not depend on the input
    models = load_models(plan.bundle, job.worker_resources().device)
    items = read_items(spec, options.samples, models.image_size, options.seed)
    on_message(f"{len(items)} samples")
    with _editors_store(plan, options) as store:
        edits = [_edit(store, plan, edit, models, items, options, on_message) for edit in plan.edits]
    unusable = _unusable(items)
    return render(
        "preview.html", plan=plan, edits=edits, items=items, unusable=unusable, options=options, scores=SCORES
    )


def shortened(job: JobSpec, steps: int) -> JobSpec:
    """The job with this number of steps in every fit."""

    def shorter(entry: EditEntry) -> EditEntry:
        fit = entry.options.get("fit", {})
        known = EDITORS.get(entry.method)
        fitted_here = known is not None and (known.scope is FitScope.PROMPT or (known.captioned and job.fit_captions))
        if not fitted_here or not isinstance(fit, Mapping):
            return entry  # the plan refuses it, or it has no fit
        return replace(entry, options={**entry.options, "fit": {**fit, "steps": steps}})

    return replace(job, edits=tuple(shorter(entry) for entry in job.edits))


def first_input(job: JobSpec) -> str:
    """The address of the first tar of the input."""
    return expand(job.inputs[0], job.s3)[0].uri


@contextmanager
def _editors_store(plan: Plan, options: PreviewOptions) -> Iterator[Store]:
    """The store for editors: the output, or a temporary folder for fits with other steps than the job's."""
    if options.steps is None:
        yield open_store(plan.output, plan.s3)
    else:
        with tempfile.TemporaryDirectory(prefix="coral-preview-") as folder:
            yield open_store(folder)


def _edit(
    store: Store,
    plan: Plan,
    edit: EditSpec,
    models: Models,
    items: Sequence[Item],
    options: PreviewOptions,
    on_message: OnMessage,
) -> EditPreview:
    _fit(store, plan, edit, models, on_message)
    gates = plan.rules_of(edit).gates
    strengths = [factor * edit.strength for factor in options.factors]
    on_message(f"{edit.slug}: editing at strengths {', '.join(f'{each:g}' for each in strengths)}")
    samples = tuple(sweep(edit, load_editor(store, edit, models), items, strengths, gates, models))
    found = tuple(_strength(index, strengths[index], edit, samples) for index in range(len(strengths)))
    unmasked = _unusable([item.with_user_mask(edit.mask) for item in items if item.sample.status == "ok"])
    return EditPreview(spec=edit, gates=gates.active, strengths=found, samples=samples, unmasked=unmasked)


def _unusable(items: Sequence[Item]) -> Counter[tuple[str, str]]:
    """Number of items by (status, reason), without usable ones."""
    return Counter((item.sample.status, item.sample.reason) for item in items if item.sample.status != "ok")


def _fit(store: Store, plan: Plan, edit: EditSpec, models: Models, on_message: OnMessage) -> None:
    """Fit the editor and the bases below it, unless they are stored."""
    needed = {edit.fit_id}
    for request in reversed(plan.fits):  # a base comes before the fits that need it
        needed |= {request.base} if request.id in needed else set()
    for request in plan.fits:
        if request.id in needed:
            fit_editor(request, models, store, fit_messages(on_message))


def fit_messages(on_message: OnMessage) -> OnPulse:
    """A callback for a fit that passes on a message after every fifth of its steps."""
    reported = 0.0

    def pulse(now: Pulse) -> None:
        nonlocal reported
        if now.fraction - reported >= 0.2 or now.fraction == 1:
            reported = now.fraction
            on_message(f"fit {now.note}")

    return pulse


def _strength(index: int, value: float, edit: EditSpec, samples: Sequence[SweptSample]) -> Strength:
    cells = [sample.cells[index] for sample in samples]
    medians = {name: statistics.median(cell.scores[name] for cell in cells) for name in SCORES if cells}
    return Strength(value, value == edit.strength, medians, sum(not cell.gate for cell in cells))
