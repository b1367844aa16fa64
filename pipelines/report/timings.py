"""Worker time of a run by phase, from its commits and its artifacts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from manifests.commit import CommitRecord, committed, read_commit
from manifests.stores.store import Store
from tasks.artifacts.stored import Artifact, fitted_ids, read_artifact
from tasks.plan.plan import Plan

COMMITS = 2000
"""Largest number of commits that are read, at equal distances in the plan; they represent the others."""
READERS = 16
"""Threads that read commits."""
PHASES = ("invert", "edit", "write")
"""Phases in a commit's seconds. Its total is not used, because all edits of one shard share it."""

Unit = Literal["images", "steps"]


@dataclass(frozen=True)
class Phase:
    """One kind of work, for one edit or for all."""

    name: str
    count: int
    unit: Unit
    seconds: float | None  # sum over workers; None for tensors of a killed fit that a later one adopted

    @property
    def rate(self) -> float | None:
        """Units per second of one worker."""
        return self.count / self.seconds if self.count and self.seconds else None


@dataclass(frozen=True)
class Timings:
    """The completed work of a plan."""

    phases: tuple[Phase, ...]  # in the order of a run
    fits: Mapping[str, Artifact]  # by fit id
    commits: int  # of the plan's requests
    read: int  # commits that were read


def read_timings(store: Store, plan: Plan, done: Collection[str] | None = None) -> Timings:
    """Seconds by phase of all commits and fits of the plan, also those of earlier runs. `done`: as for gather()."""
    done = committed(store) if done is None else done
    artifacts = fitted_ids(store)
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
    """One phase per editor, named after the edits that use it, or after its method if it is only a base of others."""
    for fit_id, artifact in fits.items():
        slugs = ", ".join(edit.slug for edit in plan.edits if edit.fit_id == fit_id)
        yield Phase(f"fit {slugs or artifact.request['method']}", artifact.steps, "steps", artifact.seconds)


def _phases(plan: Plan, records: Sequence[CommitRecord], phase: str) -> Iterator[Phase]:
    """One phase by edit, in the order of the plan."""
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
