"""Of several requests for the same samples one stands: that for most of the shard, and of its tries the newest.

A run with a limit asks for the first samples of a shard, a later one for more of them or for all; what is tried again
is asked for by a new request. Only one of them has rows in the manifest at any time, and speaks for the others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from manifests.stores.store import Store
from tasks.plan.plan import Plan, read_plans
from tasks.plan.retry_log import read_retries
from tasks.spec.requests import EditRequest, EditSpec, InvertRequest


@dataclass(frozen=True, order=True)
class Rank:
    """How much a request says of its edit of a shard; the highest stands."""

    samples: float  # from the start of the shard; infinite for all of it
    inversion: int  # which time it is tried again
    edit: int


@dataclass(frozen=True)
class RequestPrecedence:
    """Requests by the edit of a whole shard that they are a part or a try of."""

    wholes: Mapping[str, str]  # request -> first try for the whole shard
    ranks: Mapping[str, Rank]

    @classmethod
    def of(cls, store: Store, plan: Plan) -> RequestPrecedence:
        """Every try of the requests of the plan, of runs with a limit, and of the whole shards these are part of."""
        wholes, ranks, retries = dict[str, str](), dict[str, Rank](), read_retries(store)
        for each in (plan, *read_plans(store, limited=True)):
            for inversion in first_inversions(each):
                complete = replace(inversion, shard=replace(inversion.shard, limit=None))
                for spec in each.edits:
                    whole = EditRequest(inversion=complete, spec=spec).id
                    for request in tries(inversion, spec, retries):
                        samples = math.inf if request.shard.limit is None else request.shard.limit
                        wholes[request.id] = whole
                        ranks[request.id] = Rank(samples, request.inversion.retry, request.retry)
        return cls(wholes, ranks)

    def in_force(self, present: Collection[str]) -> dict[str, str]:
        """Every known request -> the one of those present that stands for it, maybe itself; left out if none does."""
        best: dict[str, str] = {}
        for request in self.ranks.keys() & present:
            other = best.setdefault(self.wholes[request], request)
            if self.ranks[request] > self.ranks[other]:
                best[self.wholes[request]] = request
        return {request: best[whole] for request, whole in self.wholes.items() if whole in best}


def first_inversions(plan: Plan) -> Iterator[InvertRequest]:
    """First tries for the shards of a plan, and for the whole of those that it has only the first samples of."""
    for shard in plan.shards:
        yield InvertRequest(shard=shard, spec=plan.invert)
        if shard.limit is not None:
            yield InvertRequest(shard=replace(shard, limit=None), spec=plan.invert)


def tries(inversion: InvertRequest, spec: EditSpec, retries: Mapping[str, int]) -> Iterator[EditRequest]:
    """Every time an edit of a shard was asked for; `retries`: first try -> which time it is tried again."""
    for again in range(retries.get(inversion.id, 0) + 1):
        first = EditRequest(inversion=replace(inversion, retry=again), spec=spec)
        yield from (replace(first, retry=retry) for retry in range(retries.get(first.id, 0) + 1))
