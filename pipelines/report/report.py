"""What a report says, gathered from an output, and the page it becomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

import yaml

from manifests.query import asking
from manifests.snapshot import Snapshot, read_snapshot
from manifests.store import CommitConflict, CommitUnknown, Store
from pipelines.report.charts import Box, Chart, histogram_chart, layers_chart, shares
from pipelines.report.figures import EditFigures, LayerArea, Reason, Spread, chosen_rows, edit_figures, failure_reasons
from pipelines.report.page import render
from pipelines.report.picks import Pick, picks
from pipelines.report.scores import SCORES, Score
from pipelines.report.spent import Spent, time_spent
from tasks.artifacts import Artifact
from tasks.gallery import Exhibit, hang
from tasks.gates import BOUNDS, Gates
from tasks.plan import Plan, read_plans
from tasks.requests import EditSpec
from tasks.rules import PublishRules
from tasks.status import WorkStatus, plan_status
from tasks.tiles import Tile
from tasks.waves import Failure

ATTEMPTS = 20
EVERYWHERE = 0.999
"""An edit whose layers are all taken that far has no regions."""


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
    spread: Spread
    chart: Chart
    gates: tuple[GateNote, ...]


@dataclass(frozen=True)
class Drawn:
    """One sample on the page."""

    exhibit: Exhibit
    pick: Pick


@dataclass(frozen=True)
class Drawings:
    """What is drawn, by edit id."""

    by_edit: Mapping[str, Sequence[Drawn]]
    mean_masks: Mapping[str, Tile]


@dataclass(frozen=True, kw_only=True)
class EditSection:
    """All about one edit."""

    spec: EditSpec
    figures: EditFigures
    shares: tuple[Box, ...]
    panels: tuple[Panel, ...]
    layers: Chart | None  # None for an edit without regions
    mean_mask: Tile
    drawn: tuple[Drawn, ...]
    artifact: Artifact | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything on the page."""

    plan: Plan
    snapshot: int
    published: str  # when
    work: WorkStatus
    edits: tuple[EditSection, ...]
    reasons: tuple[Reason, ...]
    spent: Spent
    failures: tuple[Failure, ...]

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
        """The resolved job as YAML."""
        return yaml.safe_dump(dict(self.plan.job), sort_keys=False, allow_unicode=True, width=100)


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


def gather(store: Store, plan: Plan, failures: Sequence[Failure] = ()) -> Report:
    """Everything a page about the plan says. Reads sums of the manifest, and pictures of a few of its rows."""
    snapshot = read_snapshot(store)
    requests = frozenset(request.id for shard in plan.edit_requests() for request in shard)
    replaced = {each.by for each in snapshot.superseded if each.request_id in requests}
    gates = gates_in_force(snapshot, plan)
    with asking(store, snapshot) as ask:
        rows = chosen_rows(ask, [edit.edit_id for edit in plan.edits], requests | replaced)
        figures = edit_figures(ask, rows, _thresholds(gates.values()))
        chosen = picks(ask, rows, figures)
        reasons = tuple(failure_reasons(ask, rows))
    spent = time_spent(store, plan)
    return Report(
        plan=plan,
        snapshot=snapshot.version,
        published=snapshot.created,
        work=plan_status(store, plan),
        edits=tuple(_sections(plan, figures, gates, _drawn(store, plan, chosen), spent)),
        reasons=reasons,
        spent=spent,
        failures=tuple(failures),
    )


def page_of(report: Report) -> str:
    """The report as HTML."""
    return render("report.html", report=report, plan=report.plan, scores=list(SCORES.values()))


def put_page(store: Store, run_id: str, page: str) -> str:
    """Write or replace the page of a run in its output; returns its key. CommitConflict when others keep winning."""
    key, data = f"reports/{run_id}/index.html", page.encode()
    for _ in range(ATTEMPTS):
        info = store.head(key)
        with suppress(CommitUnknown):  # writing the same page again does no harm
            if store.put_new(key, data) if info is None else store.put_if(key, data, info.etag):
                return key
    raise CommitConflict(f"{key} was written by others {ATTEMPTS} times in a row; report again when they are done")


def gates_in_force(snapshot: Snapshot, plan: Plan) -> dict[str, Gates]:
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
    gallery = hang(store, plan, [pick.row for pick in turns])
    drawn: defaultdict[str, list[Drawn]] = defaultdict(list)
    for exhibit, pick in zip(gallery.exhibits, turns, strict=True):
        drawn[pick.row["edit"]].append(Drawn(exhibit, pick))
    return Drawings(drawn, gallery.mean_masks)


def address_of(output: str, key: str) -> str:
    """What to open."""
    return f"{output.rstrip('/')}/{key}"


def _sections(
    plan: Plan, figures: Mapping[str, EditFigures], gates: Mapping[str, Gates], drawings: Drawings, spent: Spent
) -> Iterator[EditSection]:
    highest = max((layer.late for each in figures.values() for layer in _regions(each)), default=1.0)
    for edit in plan.edits:
        found = figures.get(edit.edit_id, EditFigures())
        layers = _regions(found)
        yield EditSection(
            spec=edit,
            figures=found,
            shares=shares(found.statuses),
            panels=tuple(_panels(found, gates[edit.edit_id].active)),
            layers=layers_chart(layers, highest) if layers else None,
            mean_mask=drawings.mean_masks.get(edit.edit_id, Tile(missing="there is no mask")),
            drawn=tuple(drawings.by_edit.get(edit.edit_id, ())),
            artifact=spent.fits.get(edit.fit_id),
        )


def _regions(figures: EditFigures) -> list[LayerArea]:
    """The layers' areas of an edit that has regions."""
    return [] if all(layer.mean > EVERYWHERE for layer in figures.layers) else figures.layers


def _panels(figures: EditFigures, gates: Mapping[str, float]) -> Iterator[Panel]:
    for name, histogram in figures.histograms.items():
        own = {gate: threshold for gate, threshold in gates.items() if BOUNDS[gate].score == name}
        notes = (
            GateNote(gate, f"{'≤' if BOUNDS[gate].upper else '≥'} {threshold:g}", figures.gates[gate])
            for gate, threshold in own.items()
        )
        yield Panel(SCORES[name], figures.spreads[name], histogram_chart(histogram, own), tuple(notes))
