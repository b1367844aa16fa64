"""The recorded retries of requests: one create-only object under retries/ for each retry."""

from __future__ import annotations

from manifests.stores.store import Store

PREFIX = "retries/"


def read_retries(store: Store) -> dict[str, int]:
    """The number of the newest retry of each request, by the id of its first try; from one listing."""
    found: dict[str, int] = {}
    for info in store.list(PREFIX):
        first, _, retry = info.key.removeprefix(PREFIX).removesuffix(".json").rpartition("-")
        found[first] = max(found.get(first, 0), int(retry))
    return found
