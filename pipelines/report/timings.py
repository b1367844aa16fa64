"""Where the time of a run went, from its commits and its artifacts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from manifests.commit import CommitRecord, committed, read_commit
from manifests.stores.store import Store
from tasks.artifacts.stored import Artifact, fitted, read_artifact
from tasks.plan.plan import Plan

COMMITS = 2000
"""Commits that are read at most, evenly spread over the plan; the rest is left to be as fast as these."""
READERS = 16
PHASES = ("invert", "edit", "write")
"""Of a commit's seconds; its total is left out, because the edits of one shard run in one pass and share it."""

Unit = Literal["images", "steps"]


@dataclass(frozen=True)
class Phase:
    """One kind of work."""

    name: str
    count: int
    unit: Unit
    seconds: float | None  # of workers, added up; unknown for tensors that a later fit has adopted

    @property
    def rate(self) -> float | None:
        """Units per second of one worker."""
        return self.count / self.seconds if self.count and self.seconds else None


@dataclass(frozen=True)
class Timings:
    """The work of a plan as far as it is done."""

    phases: tuple[Phase, ...]  # in the order in which a run comes to them
    fits: Mapping[str, Artifact]  # by fit id
    commits: int  # of the plan
    read: int  # of them


def time_spent(store: Store, plan: Plan) -> Timings:
    """Seconds by phase of everything the plan names, whichever run did it."""
    done, artifacts = committed(store), fitted(store)
    edits = (request.id for requests in plan.edit_requests() for request in requests)
    wanted = [each for each in (*(request.id for request in plan.invert_requests()), *edits) if each in done]
    chosen = wanted[:: max(1, -(-len(wanted) // COMMITS))]
    with ThreadPoolExecutor(READERS) as pool:
        records = [record for record in pool.map(lambda each: read_commit(store, each), chosen) if record is not None]
    fits = {fit.id: found for fit in plan.fits if fit.id in artifacts and (found := read_artifact(store, fit.id))}
    inverting, *others = (list(_phases(plan, records, phase)) for phase in PHASES)
    phases = (*inverting, *_fits(plan, fits), *(phase for each in others for phase in each))
    return Timings(phases, fits, len(wanted), len(records))


def _fits(plan: Plan, fits: Mapping[str, Artifact]) -> Iterator[Phase]:
    """One phase per editor, named after the edits that share it; one that others build upon, after its method."""
    for fit_id, artifact in fits.items():
        slugs = ", ".join(edit.slug for edit in plan.edits if edit.fit_id == fit_id)
        yield Phase(f"fit {slugs or artifact.request['method']}", artifact.steps, "steps", artifact.seconds)


def _phases(plan: Plan, records: Sequence[CommitRecord], phase: str) -> Iterator[Phase]:
    """What one phase took, edit by edit in the order of the plan."""
    images: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for record in records:
        if phase in record.seconds:
            edit = str(record.info.get("edit", ""))
            images[edit] += sum(record.counts.values())
            seconds[edit] += record.seconds[phase]
    slugs = {"": "", **{edit.edit_id: edit.slug for edit in plan.edits}}
    for edit, slug in slugs.items():
        if edit in seconds:
            yield Phase(f"{phase} {slug}".strip(), images[edit], "images", seconds[edit])
