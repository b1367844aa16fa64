"""Which of several requests for the same samples is in force: the one for the most samples, then the newest try.

A run with a limit requests the first samples of a shard, a later run more of them or all; a retry is a new request.
Only one of these requests has rows in the manifest at any time. It is in force and counts for the others too.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from manifests.stores.store import Store
from tasks.plan.plan import Plan, read_plans
from tasks.plan.retry_log import read_retries
from tasks.spec.requests import EditRequest, EditSpec, InvertRequest

Request = TypeVar("Request", InvertRequest, EditRequest)


class Rank(NamedTuple):
    """The rank of a request among those for one edit of one shard; the highest that is present is in force."""

    samples: float  # from the start of the shard; infinite for the whole shard
    inversion: int  # number of the inversion's retry
    edit: int  # number of the edit's retry


@dataclass(frozen=True)
class RequestPrecedence:
    """Requests, grouped by the edit of a whole shard that each is a part or a retry of."""

    wholes: Mapping[str, str]  # id of a request -> id of the first try for the whole shard
    ranks: Mapping[str, Rank]

    @classmethod
    def of(cls, store: Store, plan: Plan) -> RequestPrecedence:
        """Every try of the requests of `plan`, of runs with a limit, and of the whole shards these are parts of."""
        wholes, ranks, retries = dict[str, str](), dict[str, Rank](), read_retries(store)
        for known in (plan, *read_plans(store, limited=True)):
            for inversion in first_inversions(known):
                complete = replace(inversion, shard=replace(inversion.shard, limit=None))
                tried = [inversion, *_later_tries(inversion, retries)]
                for spec in known.edits:
                    whole = EditRequest(inversion=complete, spec=spec).id
                    for request in tries(tried, spec, retries):
                        samples = math.inf if request.shard.limit is None else request.shard.limit
                        wholes[request.id] = whole
                        ranks[request.id] = Rank(samples, request.inversion.retry, request.retry)
        return cls(wholes, ranks)

    def in_force(self, present: Collection[str]) -> dict[str, str]:
        """Every known request -> the present one that is in force for it, maybe itself; left out if there is none."""
        best: dict[str, str] = {}
        for request in self.ranks.keys() & present:
            other = best.setdefault(self.wholes[request], request)
            if self.ranks[request] > self.ranks[other]:
                best[self.wholes[request]] = request
        return {request: best[whole] for request, whole in self.wholes.items() if whole in best}


def first_inversions(plan: Plan) -> Iterator[InvertRequest]:
    """First tries for the shards of a plan; for a shard with a sample limit, also for the whole shard."""
    for shard in plan.shards:
        yield InvertRequest(shard=shard, spec=plan.invert)
        if shard.limit is not None:
            yield InvertRequest(shard=replace(shard, limit=None), spec=plan.invert)


def tries(inversions: Sequence[InvertRequest], spec: EditSpec, retries: Mapping[str, int]) -> Iterator[EditRequest]:
    """Every try of an edit of a shard, whose inversion had these tries.

    `retries`: id of a first try -> number of its newest retry.
    """
    for inversion in inversions:
        first = EditRequest(inversion=inversion, spec=spec)
        yield from (first, *_later_tries(first, retries))


def _later_tries(first: Request, retries: Mapping[str, int]) -> list[Request]:
    return [replace(first, retry=number + 1) for number in range(retries.get(first.id, 0))]
