"""Retries of requests that were committed with failures: a new request replaces the old one, which is not changed.

A retried request has another id, because `retry` is part of it. Its rows replace the old ones in the manifest as soon
as they are published. Every retry is recorded as one create-only object under retries/, so that every later run, of
any job, uses the newest one.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from manifests.query import query
from manifests.stores.store import Store
from tasks.plan.retry_log import PREFIX, read_retries
from tasks.shards.commits import why_quarantined
from tasks.shards.refusals import read_refusals
from tasks.spec.requests import EditRequest, InvertRequest

if TYPE_CHECKING:
    from tasks.plan.plan import Plan

Retryable = Literal["quarantined", "failed"]
"""Statuses whose rows may succeed when they are tried again."""


def record_retries(store: Store, plan: Plan) -> None:
    """Record the retries of the plan that no earlier run has recorded."""
    known = read_retries(store)
    for first, retry in plan.retries.items():
        if retry > known.get(first, 0):
            note = {"run_id": plan.run_id, "request": first}
            store.put_new(f"{PREFIX}{first}-{retry}.json", json.dumps(note, indent=1, sort_keys=True).encode())


def with_retries(store: Store, plan: Plan, statuses: Collection[Retryable]) -> Plan:
    """The plan with a retry of each request that has published rows of these statuses. Writes nothing.

    A shard that was quarantined in the invert wave is inverted again, and all its edits are repeated. "failed" includes
    requests that were not committed because too many samples failed.
    """
    listed = ", ".join(f"'{status}'" for status in statuses)
    sql = f"SELECT DISTINCT request_id FROM manifest WHERE status IN ({listed})"
    wanted = {row["request_id"] for row in query(store, sql).to_pylist()} if statuses else set()
    refused = read_refusals(store, plan.max_failure_rate) if "failed" in statuses else {}
    retries = dict(plan.retries)
    for requests in plan.edit_requests():
        bad = [request for request in requests if request.id in wanted or request.id in refused]
        again: list[InvertRequest | EditRequest] = [*bad]
        if requests[0].inversion.id in refused or (bad and why_quarantined(store, bad)):
            again = [requests[0].inversion]
        retries |= {replace(request, retry=0).id: request.retry + 1 for request in again}
    return replace(plan, retries=retries)
