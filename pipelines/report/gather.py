"""Collects the content of a report from an output, and renders it as a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from manifests.commit import committed
from manifests.query import asking
from manifests.stores.store import Store
from manifests.table import PublishedRequest, open_manifest
from pipelines.report.charts import Box, Chart, histogram_chart, shares
from pipelines.report.figures import EditFigures, Quantiles, Reason, chosen_rows, edit_figures, failure_reasons
from pipelines.report.heatmap import HeatMap, heat_map, highest_area
from pipelines.report.page import render
from pipelines.report.picks import Pick, picks
from pipelines.report.resolved_job import resolved_yaml
from pipelines.report.run_record import RunRecord
from pipelines.report.score_labels import SCORES, Score
from pipelines.report.timings import Timings, read_timings
from tasks.artifacts.stored import Artifact
from tasks.gallery.gallery import Example, load_gallery
from tasks.gallery.layer_maps import LayerMap
from tasks.gallery.missing import Missing
from tasks.plan.plan import Plan, read_plans
from tasks.plan.status import WorkStatus, plan_status, published_requests
from tasks.spec.gates import BOUNDS, Gates
from tasks.spec.publish_rules import PublishRules
from tasks.spec.requests import EditSpec


@dataclass(frozen=True)
class GateNote:
    """One gate and its effect."""

    name: str
    condition: str  # such as "≥ 0.1"
    rejected: int  # rows for which it was the first gate to reject


@dataclass(frozen=True)
class Panel:
    """One score of one edit: its histogram, and the gates on it."""

    score: Score
    quantiles: Quantiles
    chart: Chart
    gates: tuple[GateNote, ...]


@dataclass(frozen=True)
class ReportSample:
    """One sample on the page, and why it was chosen."""

    example: Example
    pick: Pick


@dataclass(frozen=True)
class ReportSamples:
    """The samples and the layer maps on the page, by edit id."""

    by_edit: Mapping[str, Sequence[ReportSample]]
    layer_maps: Mapping[str, LayerMap | Missing]


@dataclass(frozen=True, kw_only=True)
class EditReport:
    """The section of one edit."""

    spec: EditSpec
    figures: EditFigures
    shares: tuple[Box, ...]
    panels: tuple[Panel, ...]
    heat_map: HeatMap | None  # None for an edit without regions
    samples: tuple[ReportSample, ...]
    artifact: Artifact | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The content of the page."""

    plan: Plan
    version: int  # of the manifest
    work: WorkStatus
    edits: tuple[EditReport, ...]
    reasons: tuple[Reason, ...]
    timings: Timings
    run: RunRecord | None = None  # None if the run was killed, and only its plan is known

    @property
    def started(self) -> str:
        """Time when the run was planned, from its id; empty for an id of another form."""
        try:
            return f"{datetime.strptime(self.plan.run_id[:15], '%Y%m%dT%H%M%S'):%-d %B %Y, %H:%M} UTC"
        except ValueError:
            return ""

    @property
    def statuses(self) -> dict[str, int]:
        """Numbers of rows of all edits by status: ok, rejected, then the others by number."""
        found: defaultdict[str, int] = defaultdict(int)
        for edit in self.edits:
            for status, rows in edit.figures.statuses.items():
                found[status] += rows
        return dict(sorted(found.items(), key=lambda each: (each[0] != "ok", each[0] != "rejected", -each[1])))

    @property
    def gates(self) -> list[str]:
        """Gates that rejected at least one row."""
        return [gate for gate in BOUNDS if any(edit.figures.gates[gate] for edit in self.edits)]

    @property
    def job(self) -> str:
        """The job with all settings resolved, as YAML."""
        return resolved_yaml(self.plan, self.run.settings if self.run else {})


def find_plan(store: Store, run_id: str | None) -> Plan:
    """The plan of a run, or of the newest run if `run_id` is None. ValueError if there is none."""
    plans = read_plans(store)
    plan = next((plan for plan in plans if run_id in (None, plan.run_id)), None)
    if plan is None:
        known = [each.run_id for each in read_plans(store)][:10]
        raise ValueError(
            f"no run {run_id!r} there; the newest are {', '.join(known)}"
            if known
            else "no run was ever planned there; give the output of a job, or run one first"
        )
    return plan


def gather(store: Store, plan: Plan, run: RunRecord | None = None, done: Collection[str] | None = None) -> Report:
    """Collect the report of a plan: aggregations over the manifest, and pictures of a few of its rows.

    `done`: the committed requests, if they are listed already.
    """
    done = committed(store) if done is None else done
    manifest = open_manifest(store)
    gates = published_gates(manifest.requests, plan)
    with asking(store, manifest) as ask:
        ours = published_requests(store, plan, manifest.requests)
        rows = chosen_rows(ask, [edit.edit_id for edit in plan.edits], ours)
        figures = edit_figures(ask, rows, _thresholds(gates.values()))
        chosen = picks(ask, rows, figures)
        reasons = tuple(failure_reasons(ask, rows))
    timings = read_timings(store, plan, done)
    return Report(
        plan=plan,
        version=manifest.version,
        work=plan_status(store, plan, manifest, done),
        edits=tuple(_sections(plan, figures, gates, _report_samples(store, plan, chosen), timings)),
        reasons=reasons,
        timings=timings,
        run=run,
    )


def page_of(report: Report) -> str:
    """The report as HTML."""
    return render("report.html", report=report, plan=report.plan, scores=list(SCORES.values()))


def published_gates(published: Mapping[str, PublishedRequest], plan: Plan) -> dict[str, Gates]:
    """By edit id, the gates its rows were published with; those of the plan if there are no rows or several rules."""
    found = defaultdict(set)
    for edit, request in ((request.spec.edit_id, request) for shard in plan.edit_requests() for request in shard):
        if request.id in published:
            found[edit].add(published[request.id].rules)
    one = {edit: PublishRules.read(next(iter(texts))) for edit, texts in found.items() if len(texts) == 1}
    return {edit.edit_id: one.get(edit.edit_id, plan.rules_of(edit)).gates for edit in plan.edits}


def _thresholds(gates: Iterable[Gates]) -> dict[str, list[float]]:
    """Thresholds of all gates by score."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for gate, threshold in (each for one in gates for each in one.active.items()):
        found[BOUNDS[gate].score].append(threshold)
    return found


def _report_samples(store: Store, plan: Plan, chosen: Mapping[str, list[Pick]]) -> ReportSamples:
    """The chosen rows with their pictures. The edits take turns, so that limits apply to all of them alike."""
    turns = [pick for turn in zip_longest(*chosen.values()) for pick in turn if pick is not None]
    gallery = load_gallery(store, plan, [pick.row for pick in turns])
    by_edit: defaultdict[str, list[ReportSample]] = defaultdict(list)
    for example, pick in zip(gallery.examples, turns, strict=True):
        by_edit[pick.row["edit"]].append(ReportSample(example, pick))
    return ReportSamples(by_edit, gallery.layer_maps)


def _sections(
    plan: Plan, figures: Mapping[str, EditFigures], gates: Mapping[str, Gates], samples: ReportSamples, timings: Timings
) -> Iterator[EditReport]:
    highest = highest_area([each.layers for each in figures.values()])
    no_map = Missing("no sample shown has an image")
    for edit in plan.edits:
        found = figures.get(edit.edit_id, EditFigures())
        yield EditReport(
            spec=edit,
            figures=found,
            shares=shares(found.statuses),
            panels=tuple(_panels(found, gates[edit.edit_id].active)),
            heat_map=heat_map(found.layers, samples.layer_maps.get(edit.edit_id, no_map), highest),
            samples=tuple(samples.by_edit.get(edit.edit_id, ())),
            artifact=timings.fits.get(edit.fit_id),
        )


def _panels(figures: EditFigures, gates: Mapping[str, float]) -> Iterator[Panel]:
    for name, histogram in figures.histograms.items():
        own = {gate: threshold for gate, threshold in gates.items() if BOUNDS[gate].score == name}
        notes = (
            GateNote(gate, f"{'≤' if BOUNDS[gate].upper else '≥'} {threshold:g}", figures.gates[gate])
            for gate, threshold in own.items()
        )
        yield Panel(SCORES[name], figures.quantiles[name], histogram_chart(histogram, own), tuple(notes))
