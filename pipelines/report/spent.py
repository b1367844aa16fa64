"""Where the time of a run went, from its commits and its artifacts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from manifests.commit import CommitRecord, committed, read_commit
from manifests.store import Store
from tasks.artifacts import Artifact, fitted, read_artifact
from tasks.plan import Plan

COMMITS = 2000
"""Commits that are read at most, evenly spread over the plan; the rest is left to be as fast as these."""
READERS = 16
PHASES = ("invert", "edit", "write")
"""Of a commit's seconds; its total is left out, because the edits of one shard run in one pass and share it."""


@dataclass(frozen=True)
class Phase:
    """One kind of work."""

    name: str
    images: int
    seconds: float  # of workers, added up

    @property
    def rate(self) -> float | None:
        """Images per second of one worker."""
        return self.images / self.seconds if self.images and self.seconds else None


@dataclass(frozen=True)
class Spent:
    """The work of a plan as far as it is done."""

    phases: tuple[Phase, ...]
    fits: Mapping[str, Artifact]  # by fit id
    commits: int  # of the plan
    read: int  # of them


def time_spent(store: Store, plan: Plan) -> Spent:
    """Seconds by phase of everything the plan names, whichever run did it."""
    done, artifacts = committed(store), fitted(store)
    edits = (request.id for requests in plan.edit_requests() for request in requests)
    wanted = [each for each in (*(request.id for request in plan.invert_requests()), *edits) if each in done]
    chosen = wanted[:: max(1, -(-len(wanted) // COMMITS))]
    with ThreadPoolExecutor(READERS) as pool:
        records = [record for record in pool.map(lambda each: read_commit(store, each), chosen) if record is not None]
    fits = {fit.id: found for fit in plan.fits if fit.id in artifacts and (found := read_artifact(store, fit.id))}
    return Spent(tuple(_phases(plan, records)), fits, len(wanted), len(records))


def _phases(plan: Plan, records: Sequence[CommitRecord]) -> Iterator[Phase]:
    """What inverting took, then editing, then writing, edit by edit in the order of the plan."""
    images: Counter[tuple[str, str]] = Counter()
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    for record in records:
        for phase, spent in record.seconds.items():
            name = (phase, str(record.info.get("edit", "")))
            images[name] += sum(record.counts.values())
            seconds[name] += spent
    slugs = {"": "", **{edit.edit_id: edit.slug for edit in plan.edits}}
    for phase in PHASES:
        for edit, slug in slugs.items():
            if (phase, edit) in seconds:
                yield Phase(f"{phase} {slug}".strip(), images[phase, edit], seconds[phase, edit])
