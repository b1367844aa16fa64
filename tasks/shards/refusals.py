"""Requests that were not committed because too many samples failed, recorded so that no later run repeats them.

Each is one create-only object, refusals/<request_id>-<failed>-<total>.json. The id of a request covers its input and
the version of the computation, and each run compares the counts with the limit of its own job: a request is tried
again when its input, the version or the limit has changed, or when a retry is asked for, which is another request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from manifests.stores.store import Store

PREFIX = "refusals/"


@dataclass(frozen=True)
class Refusal:
    """How many samples of a request failed."""

    request_id: str
    failed: int
    total: int

    def exceeds(self, max_failure_rate: float) -> bool:
        """Whether more samples failed than the limit allows."""
        return self.failed > max_failure_rate * self.total

    def reason(self, max_failure_rate: float) -> str:
        """Why it is not committed, as text."""
        return f"{self.failed} of {self.total} samples failed, more than max_failure_rate {max_failure_rate:g}"


def record_refusal(store: Store, refusal: Refusal, reason: str) -> None:
    """Record a request that was not committed; `reason` is information for users."""
    key = f"{PREFIX}{refusal.request_id}-{refusal.failed}-{refusal.total}.json"
    store.put_new(key, json.dumps({"reason": reason}, indent=1).encode())


def read_refusals(store: Store, max_failure_rate: float) -> dict[str, Refusal]:
    """By request id, the refusals that also exceed this limit; from one listing."""
    found = {}
    for info in store.list(PREFIX):
        request_id, failed, total = info.key.removeprefix(PREFIX).removesuffix(".json").rsplit("-", 2)
        refusal = Refusal(request_id, int(failed), int(total))
        if refusal.exceeds(max_failure_rate):
            found[request_id] = refusal
    return found
