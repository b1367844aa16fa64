"""What a report says, gathered from an output, and the page it becomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from manifests.query import asking
from manifests.snapshot import Snapshot, read_snapshot
from manifests.stores.store import Store
from pipelines.report.charts import Box, Chart, histogram_chart, shares
from pipelines.report.figures import EditFigures, Quantiles, Reason, chosen_rows, edit_figures, failure_reasons
from pipelines.report.heatmap import HeatMap, heat_map, highest_area
from pipelines.report.page import render
from pipelines.report.picks import Pick, picks
from pipelines.report.resolved_job import resolved_yaml
from pipelines.report.run_record import RunRecord
from pipelines.report.score_labels import SCORES, Score
from pipelines.report.timings import Timings, time_spent
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
    """One gate in words."""

    name: str
    says: str
    rejected: int  # rows for which it was the first to say no


@dataclass(frozen=True)
class Panel:
    """One score of one edit: its spread, drawn, and the gates that read it."""

    score: Score
    spread: Quantiles
    chart: Chart
    gates: tuple[GateNote, ...]


@dataclass(frozen=True)
class Drawn:
    """One sample on the page."""

    example: Example
    pick: Pick


@dataclass(frozen=True)
class Drawings:
    """What is drawn, by edit id."""

    by_edit: Mapping[str, Sequence[Drawn]]
    layer_maps: Mapping[str, LayerMap | Missing]


@dataclass(frozen=True, kw_only=True)
class EditReport:
    """All about one edit."""

    spec: EditSpec
    figures: EditFigures
    shares: tuple[Box, ...]
    panels: tuple[Panel, ...]
    where: HeatMap | None  # None for an edit without regions
    drawn: tuple[Drawn, ...]
    artifact: Artifact | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything on the page."""

    plan: Plan
    snapshot: int
    work: WorkStatus
    edits: tuple[EditReport, ...]
    reasons: tuple[Reason, ...]
    spent: Timings
    run: RunRecord | None = None  # of the run itself; None where it did not end, and only its plan is known

    @property
    def started(self) -> str:
        """When the run was planned, as its id says."""
        try:
            return f"{datetime.strptime(self.plan.run_id[:15], '%Y%m%dT%H%M%S'):%-d %B %Y, %H:%M} UTC"
        except ValueError:
            return ""

    @property
    def statuses(self) -> dict[str, int]:
        """Rows of all edits by status, good ones first."""
        found: defaultdict[str, int] = defaultdict(int)
        for edit in self.edits:
            for status, rows in edit.figures.statuses.items():
                found[status] += rows
        return dict(sorted(found.items(), key=lambda each: (each[0] != "ok", each[0] != "rejected", -each[1])))

    @property
    def gates(self) -> list[str]:
        """Those that turned rows away."""
        return [gate for gate in BOUNDS if any(edit.figures.gates[gate] for edit in self.edits)]

    @property
    def job(self) -> str:
        """The job with every setting resolved, as YAML."""
        return resolved_yaml(self.plan, self.run.settings if self.run else {})


def find_plan(store: Store, run_id: str | None) -> Plan:
    """The plan of a run, or of the newest. ValueError when there is none."""
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


def gather(store: Store, plan: Plan, run: RunRecord | None = None) -> Report:
    """Everything a page about the plan says. Reads sums of the manifest, and pictures of a few of its rows."""
    snapshot = read_snapshot(store)
    gates = published_gates(snapshot, plan)
    with asking(store, snapshot) as ask:
        rows = chosen_rows(ask, [edit.edit_id for edit in plan.edits], published_requests(store, plan))
        figures = edit_figures(ask, rows, _thresholds(gates.values()))
        chosen = picks(ask, rows, figures)
        reasons = tuple(failure_reasons(ask, rows))
    spent = time_spent(store, plan)
    return Report(
        plan=plan,
        snapshot=snapshot.version,
        work=plan_status(store, plan),
        edits=tuple(_sections(plan, figures, gates, _drawn(store, plan, chosen), spent)),
        reasons=reasons,
        spent=spent,
        run=run,
    )


def page_of(report: Report) -> str:
    """The report as HTML."""
    return render("report.html", report=report, plan=report.plan, scores=list(SCORES.values()))


def published_gates(snapshot: Snapshot, plan: Plan) -> dict[str, Gates]:
    """By edit id, the gates its rows were published by; those of the plan while there are none, or several."""
    noted, found = snapshot.rules, defaultdict(set)
    for edit, request in ((request.spec.edit_id, request) for shard in plan.edit_requests() for request in shard):
        if request.id in noted:
            found[edit].add(noted[request.id])
    one = {edit: PublishRules.read(next(iter(texts))) for edit, texts in found.items() if len(texts) == 1}
    return {edit.edit_id: one.get(edit.edit_id, plan.rules_of(edit)).gates for edit in plan.edits}


def _thresholds(gates: Iterable[Gates]) -> dict[str, list[float]]:
    """By score."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for gate, threshold in (each for one in gates for each in one.active.items()):
        found[BOUNDS[gate].score].append(threshold)
    return found


def _drawn(store: Store, plan: Plan, chosen: Mapping[str, list[Pick]]) -> Drawings:
    """The chosen rows with their pictures, edit by edit in turns, so that none is first served."""
    turns = [pick for turn in zip_longest(*chosen.values()) for pick in turn if pick is not None]
    gallery = load_gallery(store, plan, [pick.row for pick in turns])
    drawn: defaultdict[str, list[Drawn]] = defaultdict(list)
    for example, pick in zip(gallery.examples, turns, strict=True):
        drawn[pick.row["edit"]].append(Drawn(example, pick))
    return Drawings(drawn, gallery.layer_maps)


def _sections(
    plan: Plan, figures: Mapping[str, EditFigures], gates: Mapping[str, Gates], drawings: Drawings, spent: Timings
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
            where=heat_map(found.layers, drawings.layer_maps.get(edit.edit_id, no_map), highest),
            drawn=tuple(drawings.by_edit.get(edit.edit_id, ())),
            artifact=spent.fits.get(edit.fit_id),
        )


def _panels(figures: EditFigures, gates: Mapping[str, float]) -> Iterator[Panel]:
    for name, histogram in figures.histograms.items():
        own = {gate: threshold for gate, threshold in gates.items() if BOUNDS[gate].score == name}
        notes = (
            GateNote(gate, f"{'≤' if BOUNDS[gate].upper else '≥'} {threshold:g}", figures.gates[gate])
            for gate, threshold in own.items()
        )
        yield Panel(SCORES[name], figures.spreads[name], histogram_chart(histogram, own), tuple(notes))
