"""The progress of an output, from its newest plan, its commits and its manifest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from manifests.commit import committed
from manifests.query import query, sql_literal
from manifests.stores.store import Store
from manifests.table import Manifest, PublishedRequest, open_manifest
from tasks.artifacts.stored import fitted_ids
from tasks.plan.plan import Plan, read_plans
from tasks.plan.precedence import RequestPrecedence
from tasks.shards.refusals import read_refusals

NEVER_PLANNED = "no run was ever planned there; give the output of a job, or run one first"


@dataclass(frozen=True)
class Share:
    """How much of something is done."""

    done: int
    total: int
    refused: int = 0  # not done because too many samples failed; only --retry failed tries them again


@dataclass(frozen=True)
class EditStatus:
    """The published rows of one edit."""

    edit: str  # edit_id
    prompt: str
    counts: dict[str, int] = field(default_factory=dict)  # status -> rows
    gates: dict[str, int] = field(default_factory=dict)  # gate -> rows it rejected

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    @property
    def edited(self) -> int:
        """Rows with an edited image, rejected ones included."""
        return self.counts.get("ok", 0) + self.counts.get("rejected", 0)

    @property
    def bad(self) -> int:
        """Rows without an edited image. A row that a gate rejected has one and is no failure."""
        return self.rows - self.edited


@dataclass(frozen=True)
class WorkStatus:
    """How much of a plan is done."""

    inverted: Share  # shards
    fitted: Share  # editors
    edited: Share  # edits of shards
    published: Share  # edits of shards whose request in force is published by the rules of the plan

    @property
    def left(self) -> bool:
        """Whether there is work that needs workers; publishing needs none."""
        return any(share.done + share.refused < share.total for share in (self.inverted, self.fitted, self.edited))

    def shares(self) -> list[tuple[str, Share]]:
        """The shares with their names in tables."""
        return [
            ("shards inverted", self.inverted),
            ("editors fitted", self.fitted),
            ("edits of shards", self.edited),
            ("edits of shards published", self.published),
        ]


@dataclass(frozen=True)
class OutputStatus:
    """What `coral status` prints."""

    output: str
    job: str  # name of the newest plan's job
    run_id: str  # of the newest plan
    shards: int
    work: WorkStatus
    rows: int  # of the manifest, other jobs included
    job_rows: int  # of them, those of the newest plan's edits
    snapshot: int  # version of the manifest
    edits: tuple[EditStatus, ...]


def output_status(store: Store) -> OutputStatus:
    """The state of an output. Errors: ValueError if no run was ever planned there."""
    plan = next(iter(read_plans(store, newest=1)), None)
    if plan is None:
        raise ValueError(NEVER_PLANNED)
    manifest = open_manifest(store)
    edits = edit_statuses(store, plan, manifest)
    return OutputStatus(
        output=plan.output,
        job=str(plan.job.get("name", "")),
        run_id=plan.run_id,
        shards=len(plan.shards),
        work=plan_status(store, plan, manifest),
        rows=manifest.rows,
        job_rows=sum(edit.rows for edit in edits),
        snapshot=manifest.version,
        edits=edits,
    )


def expect_planned(store: Store) -> None:
    """Errors: ValueError if no run was ever planned: a mistyped output would look like one without rows."""
    if not any(store.list("plans/")):
        raise ValueError(NEVER_PLANNED)


def plan_status(
    store: Store, plan: Plan, manifest: Manifest | None = None, done: Collection[str] | None = None
) -> WorkStatus:
    """How much of the plan is done, from a few listings. `done`: the committed requests, if they are listed already."""
    done = committed(store) if done is None else done
    artifacts, published = fitted_ids(store), (manifest or open_manifest(store)).requests
    in_force = RequestPrecedence.of(store, plan).in_force(published.keys())
    refused = read_refusals(store, plan.max_failure_rate).keys() - done
    inversions = [request.id for request in plan.invert_requests()]
    edits = {request.id: plan.rules_of(request.spec) for requests in plan.edit_requests() for request in requests}
    shown = {id_: published[in_force[id_]].rules == rules.text for id_, rules in edits.items() if id_ in in_force}
    return WorkStatus(
        inverted=_share(inversions, done, refused),
        fitted=Share(sum(each.id in artifacts for each in plan.fits), len(plan.fits)),
        edited=_share(edits, done, refused),
        published=Share(sum(shown.values()), len(edits)),
    )


def _share(requests: Collection[str], done: Collection[str], refused: Collection[str]) -> Share:
    return Share(sum(each in done for each in requests), len(requests), sum(each in refused for each in requests))


def published_requests(store: Store, plan: Plan, published: Mapping[str, PublishedRequest]) -> frozenset[str]:
    """The published requests in force for those of the plan: themselves, later retries, or ones for more samples."""
    in_force = RequestPrecedence.of(store, plan).in_force(published.keys())
    ids = (request.id for requests in plan.edit_requests() for request in requests)
    return frozenset(in_force[id_] for id_ in ids if id_ in in_force)


def edit_statuses(store: Store, plan: Plan, manifest: Manifest | None = None) -> tuple[EditStatus, ...]:
    """The published rows of each edit of the plan, by status and gate; rows of other plans do not count."""
    manifest = manifest or open_manifest(store)
    ours = published_requests(store, plan, manifest.requests)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    gates: dict[str, Counter[str]] = defaultdict(Counter)
    prompts = {each.edit_id: each.target for each in plan.edits}
    others = {id_ for id_, each in manifest.requests.items() if each.edit in prompts} - ours
    names = ", ".join(map(sql_literal, prompts))
    by = "request_id, edit, status, gate" if others else "edit, status, gate"
    sql = f"SELECT {by}, count(*) AS rows FROM manifest WHERE edit IN ({names}) GROUP BY ALL ORDER BY ALL"
    for row in query(store, sql, manifest).to_pylist():
        if row.get("request_id") not in others:
            counts[row["edit"]][row["status"]] += row["rows"]
            if row["gate"]:
                gates[row["edit"]][row["gate"]] += row["rows"]
    return tuple(EditStatus(id_, prompt, dict(counts[id_]), dict(gates[id_])) for id_, prompt in prompts.items())
