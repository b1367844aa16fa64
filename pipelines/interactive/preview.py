"""`coral preview`: a few samples of a job at several strengths, as one page, before anything is run.

Works in this process. Editors that are fitted with the job's own settings go into the output's editors/, where the run
will find them; with fewer steps they are thrown away. Nothing else is written into the output.
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
from tasks.gallery.strength_sweep import Swept, some_items, sweep
from tasks.inputs.find import expand
from tasks.plan.plan import Plan, make_plan
from tasks.shards.batch import Item
from tasks.spec.gates import BOUNDS
from tasks.spec.job import EditEntry, JobSpec
from tasks.spec.requests import EditSpec
from tasks.worker.fit import fit_editor
from tasks.worker.pulse import OnPulse, Pulse

FACTORS = (0.5, 1.0, 1.5, 2.0)
"""Strengths that are tried, in those of the job."""

SWEPT = {name: score for name, score in SCORES.items() if name != "inversion_error"}
"""Scores that strength changes."""

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class PreviewOptions:
    """What to look at."""

    samples: int = 16
    seed: int | None = None  # None: the first samples of the input; otherwise random ones
    steps: int | None = None  # of every fit, instead of the job's own
    factors: tuple[float, ...] = FACTORS


@dataclass(frozen=True)
class Strength:
    """All samples of an edit at one strength."""

    value: float
    own: bool  # it is the job's
    medians: Mapping[str, float]  # of each score
    passed: int  # samples that no gate would reject


@dataclass(frozen=True)
class StrengthCurve:
    """One score of an edit, by strength."""

    score: Score
    chart: StrengthChart


@dataclass(frozen=True, kw_only=True)
class EditPreview:
    """One edit."""

    spec: EditSpec
    gates: Mapping[str, float]
    strengths: tuple[Strength, ...]
    samples: tuple[Swept, ...]
    unmasked: Mapping[tuple[str, str], int]  # status and reason of samples that lack the mask it asks for -> how many

    @property
    def shown(self) -> int:
        """Index of the strength whose mask, difference and scores stand for a sample: the job's, if it was tried."""
        return next((index for index, each in enumerate(self.strengths) if each.own), len(self.strengths) - 1)

    @property
    def rejecting(self) -> list[str]:
        """Gates that reject a sample at that strength."""
        verdicts = (sample.cells[self.shown].gate for sample in self.samples)
        return list(dict.fromkeys(gate for gate in verdicts if gate))

    @property
    def curves(self) -> list[StrengthCurve]:
        """How every score that strength changes goes with it."""
        return [StrengthCurve(score, self._strength_chart(name)) for name, score in SWEPT.items() if self.samples]

    def _strength_chart(self, name: str) -> StrengthChart:
        by_strength = {
            strength.value: [sample.cells[index].scores[name] for sample in self.samples]
            for index, strength in enumerate(self.strengths)
        }
        return strength_chart(by_strength, {gate: each for gate, each in self.gates.items() if BOUNDS[gate].score == name})


def preview(job: Job, options: PreviewOptions, tell: Tell) -> str:
    """The page as HTML. Errors: ValueError for whatever the job asks for that does not exist."""
    spec = job.spec() if options.steps is None else shortened(job.spec(), options.steps)
    plan = make_plan(replace(spec, inputs=(first_input(spec),)))  # the edits follow from no input at all
    models = load_models(plan.bundle, job.worker_resources().device)
    items = some_items(spec, options.samples, models.image_size, options.seed)
    tell(f"{len(items)} samples")
    with _editors_store(plan, options) as store:
        edits = [_edit(store, plan, edit, models, items, options, tell) for edit in plan.edits]
    unusable = _unusable(items)
    return render(
        "preview.html", plan=plan, edits=edits, items=items, unusable=unusable, options=options, scores=SCORES
    )


def shortened(job: JobSpec, steps: int) -> JobSpec:
    """The job with so many steps in every fit."""

    def shorter(entry: EditEntry) -> EditEntry:
        fit = entry.options.get("fit", {})
        known = EDITORS.get(entry.method)
        fitted_here = known is not None and (known.scope is FitScope.PROMPT or (known.captioned and job.fit_captions))
        if not fitted_here or not isinstance(fit, Mapping):
            return entry  # the plan refuses it, or there is nothing to shorten
        return replace(entry, options={**entry.options, "fit": {**fit, "steps": steps}})

    return replace(job, edits=tuple(shorter(entry) for entry in job.edits))


def first_input(job: JobSpec) -> str:
    """The address of one tar of the input."""
    return expand(job.inputs[0], job.s3)[0].uri


@contextmanager
def _editors_store(plan: Plan, options: PreviewOptions) -> Iterator[Store]:
    """Where editors are kept: the output, unless they are shortened ones that no run would want."""
    if options.steps is None:
        yield open_store(plan.output, plan.s3)
    else:
        with tempfile.TemporaryDirectory(prefix="coral-preview-") as folder:
            yield open_store(folder)


def _edit(
    store: Store, plan: Plan, edit: EditSpec, models: Models, items: Sequence[Item], options: PreviewOptions, tell: Tell
) -> EditPreview:
    _fit(store, plan, edit, models, tell)
    gates = plan.rules_of(edit).gates
    strengths = [factor * edit.strength for factor in options.factors]
    tell(f"{edit.slug}: editing at strengths {', '.join(f'{each:g}' for each in strengths)}")
    samples = tuple(sweep(edit, load_editor(store, edit, models), items, strengths, gates, models))
    found = tuple(_strength(index, strengths[index], edit, samples) for index in range(len(strengths)))
    unmasked = _unusable([item.within(edit.mask) for item in items if item.sample.status == "ok"])
    return EditPreview(spec=edit, gates=gates.active, strengths=found, samples=samples, unmasked=unmasked)


def _unusable(items: Sequence[Item]) -> Counter[tuple[str, str]]:
    """How many have which status and reason."""
    return Counter((item.sample.status, item.sample.reason) for item in items if item.sample.status != "ok")


def _fit(store: Store, plan: Plan, edit: EditSpec, models: Models, tell: Tell) -> None:
    """Train the editor, and what it builds upon, unless they are there."""
    requests = {fit.id: fit for fit in plan.fits}
    own = requests.get(edit.fit_id)
    for request in () if own is None else (requests.get(own.base), own):
        if request is not None:
            fit_editor(request, models, store, telling_now_and_then(tell))


def telling_now_and_then(tell: Tell) -> OnPulse:
    """What tells of a fit, each fifth of the way."""
    told = 0.0

    def pulse(now: Pulse) -> None:
        nonlocal told
        if now.fraction - told >= 0.2 or now.fraction == 1:
            told = now.fraction
            tell(f"fit {now.note}")

    return pulse


def _strength(index: int, value: float, edit: EditSpec, samples: Sequence[Swept]) -> Strength:
    cells = [sample.cells[index] for sample in samples]
    medians = {name: statistics.median(cell.scores[name] for cell in cells) for name in SCORES if cells}
    return Strength(value, value == edit.strength, medians, sum(not cell.gate for cell in cells))
