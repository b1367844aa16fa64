"""How far an output is, from its newest plan, its commits and its manifest."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from manifests.commit import committed
from manifests.query import query
from manifests.snapshot import read_snapshot
from manifests.store import Store
from tasks.artifacts import fitted
from tasks.plan import Plan, read_plans


@dataclass(frozen=True)
class Share:
    """How much of something is done."""

    done: int
    total: int


@dataclass(frozen=True)
class EditStatus:
    """The published rows of one edit."""

    edit: str  # edit_id
    prompt: str
    counts: dict[str, int] = field(default_factory=dict)  # status -> rows

    @property
    def bad(self) -> int:
        """Rows without a good image."""
        return sum(self.counts.values()) - self.counts.get("ok", 0)


@dataclass(frozen=True)
class WorkStatus:
    """How much of a plan is done."""

    inverted: Share  # shards
    fitted: Share  # editors
    edited: Share  # edits of shards
    published: Share  # edits of shards

    def shares(self) -> list[tuple[str, Share]]:
        """What is counted, in words."""
        return [
            ("shards inverted", self.inverted),
            ("editors fitted", self.fitted),
            ("edits of shards", self.edited),
            ("published", self.published),
        ]


@dataclass(frozen=True)
class OutputStatus:
    """What `coral status` says."""

    output: str
    run_id: str  # of the newest plan
    shards: int
    work: WorkStatus
    rows: int  # of the manifest, earlier jobs included
    snapshot: int  # version
    edits: tuple[EditStatus, ...]


def output_status(store: Store) -> OutputStatus:
    """The state of an output. ValueError if nothing was ever planned there."""
    plan = next(iter(read_plans(store, newest=1)), None)
    if plan is None:
        raise ValueError("no run was ever planned there; give the output of a job, or run one first")
    snapshot = read_snapshot(store)
    return OutputStatus(
        output=plan.output,
        run_id=plan.run_id,
        shards=len(plan.shards),
        work=plan_status(store, plan),
        rows=snapshot.rows,
        snapshot=snapshot.version,
        edits=edit_statuses(store, plan),
    )


def plan_status(store: Store, plan: Plan) -> WorkStatus:
    """How much of the plan is done, from three listings."""
    done, artifacts, published = committed(store), fitted(store), read_snapshot(store).requests
    inversions = [request.id for request in plan.invert_requests()]
    edits = [request.id for requests in plan.edit_requests() for request in requests]
    return WorkStatus(
        inverted=Share(sum(each in done for each in inversions), len(inversions)),
        fitted=Share(sum(each.id in artifacts for each in plan.fits), len(plan.fits)),
        edited=Share(sum(each in done for each in edits), len(edits)),
        published=Share(len(published.intersection(edits)), len(edits)),
    )


def edit_statuses(store: Store, plan: Plan) -> tuple[EditStatus, ...]:
    """The published rows of each edit of the plan, by status; what other plans published beside it does not count."""
    replaced = {each.request_id: each.by for each in read_snapshot(store).superseded}
    ids = {request.id for requests in plan.edit_requests() for request in requests}
    ours = {replaced.get(request_id, request_id) for request_id in ids}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    sql = "SELECT request_id, edit, status, count(*) AS rows FROM manifest GROUP BY ALL ORDER BY ALL"
    for row in query(store, sql).to_pylist():
        if row["request_id"] in ours:
            counts[row["edit"]][row["status"]] += row["rows"]
    return tuple(EditStatus(each.edit_id, each.target, dict(counts[each.edit_id])) for each in plan.edits)
