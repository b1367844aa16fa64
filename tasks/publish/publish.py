"""From commits to the manifest: committed requests become rows that readers see, under the publish rules of the job.

All rows of a request are published together, and each request once. The snapshot stores the rules of every part, so
that publishing again writes only requests that are new or have other rules now; the last publish of a request decides
its rules. Of several requests about the same samples (retries, runs with a limit), only the one in force is published.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain, count
from typing import Any

from manifests.commit import CommitConflict, CommitRecord, read_commit
from manifests.parquet.reader import read_matching
from manifests.parquet.schema import MANIFEST_SCHEMA
from manifests.parquet.writer import PartWriter
from manifests.snapshot import ManifestPart, Snapshot, Superseded, drop_parts, put_part, read_snapshot, swap_snapshot
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.plan.plan import Plan
from tasks.plan.precedence import RequestPrecedence
from tasks.publish.published_rows import Columns, published_rows
from tasks.shards.background import in_flight
from tasks.shards.output import scratch_folder
from tasks.spec.publish_rules import PublishRules

ROWS_PER_PART = 1_000_000
ATTEMPTS = 10
FETCHERS = 16


class OutdatedError(Exception):
    """Another process has published in the meantime; read the snapshot again."""


@dataclass(frozen=True)
class Publication:
    """The result of a publish."""

    version: int  # of the snapshot afterwards
    published: int  # requests that were added
    republished: int  # requests that had other rules before
    rows: int  # of the manifest afterwards


@dataclass(frozen=True)
class PartInput:
    """Rows that are written into one part, never split over several."""

    requests: tuple[str, ...]
    batches: Iterator[tuple[Any, Columns]]  # Arrow batches, each with columns that are added or replaced


def publish_edits(store: Store, plan: Plan, done: Collection[str]) -> Publication:
    """Publish the plan's committed requests that the snapshot lacks or has under other rules; `done`: committed ids.

    Errors: ValueError if a commit does not have one row per sample of its shard; CommitConflict if other processes
    publish at the same time in every attempt.
    """
    precedence = RequestPrecedence.of(store, plan)
    planned = (request for shard in plan.edit_requests() for request in shard)
    ready = {request.id: plan.rules_of(request.spec) for request in planned if request.id in done}
    for _ in range(ATTEMPTS):
        base = read_snapshot(store)
        before = base.rules
        in_force = precedence.in_force(before.keys() | ready.keys())
        valid = {request: rules for request, rules in ready.items() if in_force[request] == request}
        outdated = {request: rules for request, rules in valid.items() if before.get(request) != rules.text}
        superseded = {request: by for request, by in in_force.items() if request in before and by != request}
        try:
            snapshot = _publish(store, base, outdated, superseded)
        except OutdatedError:
            continue
        again = len(before.keys() & outdated.keys())
        return Publication(snapshot.version, len(outdated) - again, again, snapshot.rows)
    raise CommitConflict(f"other processes published during all {ATTEMPTS} attempts; publish again when they are done")


def _publish(
    store: Store, base: Snapshot, outdated: Mapping[str, PublishRules], superseded: Mapping[str, str]
) -> Snapshot:
    """Add `outdated` to the base snapshot under its rules, and remove `superseded` (request -> the one in force).

    Other requests of the parts that are replaced are copied unchanged, with the rules they were published under.
    """
    replaced = outdated.keys() | superseded.keys()
    touched = [part for part in base.parts if not replaced.isdisjoint(part.requests)]
    parts: list[ManifestPart] = []
    for text in dict.fromkeys([*(rules.text for rules in outdated.values()), *(part.rules for part in touched)]):
        fresh = {request: rules for request, rules in outdated.items() if rules.text == text}
        shared = [part for part in touched if part.rules == text]
        parts.extend(write_parts(store, chain(_fresh(store, fresh), _kept(store, shared, replaced)), text))
    removed = [Superseded(request, by, samples_of(store, request)) for request, by in superseded.items()]

    def update(current: Snapshot) -> Snapshot:
        if current.version != base.version:
            raise OutdatedError
        others = tuple(part for part in current.parts if part not in touched)
        return replace(current, parts=others).publish(parts, removed)

    try:
        return swap_snapshot(store, update)
    except OutdatedError:
        drop_parts(store, parts)
        raise


def write_parts(store: Store, inputs: Iterator[PartInput], rules: str) -> Iterator[ManifestPart]:
    """Write rows as manifest parts, each input in exactly one of them."""
    with scratch_folder() as folder:
        for number in count():
            with PartWriter(MANIFEST_SCHEMA, folder, f"part-{number}", max_part_bytes=1 << 40) as writer:
                requests = _fill(writer, inputs)
            if not requests:
                return
            yield from (put_part(store, part, requests, rules) for part in writer.close())


def _fill(writer: PartWriter, inputs: Iterator[PartInput]) -> list[str]:
    """Write inputs until the part has ROWS_PER_PART rows. Returns its requests; none if there are no inputs left."""
    requests: list[str] = []
    rows = 0
    for part_input in inputs:
        for batch, columns in part_input.batches:
            writer.write_batch(batch, columns)
            rows += batch.num_rows
        requests += part_input.requests
        if rows >= ROWS_PER_PART:
            break
    return requests


def _fresh(store: Store, rules: Mapping[str, PublishRules]) -> Iterator[PartInput]:
    """The rows of committed requests. Several threads fetch them in advance, because the store may be slow."""
    samples = cache(partial(samples_of, store))
    with scratch_folder() as folder:
        local = open_store(folder)

        def fetch(request: str) -> CommitRecord:
            record = _verified(store, request, samples)
            for ref in record.objects:
                if ref.key.startswith("rows/"):
                    store.fetch(ref.key, folder / ref.key)
            return record

        for record in in_flight(fetch, rules, FETCHERS):
            yield PartInput((record.request_id,), published_rows(local, record, rules[record.request_id]))
            for ref in record.objects:
                local.delete(ref.key)


def _kept(store: Store, parts: Iterable[ManifestPart], replaced: Collection[str]) -> Iterator[PartInput]:
    """The rows of replaced parts that stay published, unchanged."""
    for part in parts:
        kept = tuple(request for request in part.requests if request not in replaced)
        if kept:
            yield PartInput(kept, ((batch, {}) for batch in read_matching(store, part.key, "request_id", kept)))


def _verified(store: Store, request: str, samples: Callable[[str], int]) -> CommitRecord:
    """The commit of an edit. ValueError if its number of rows is not the number of samples of its shard."""
    record = _read(store, request)
    expected = samples(str(record.info["inversion"]))
    if sum(record.counts.values()) != expected:
        raise ValueError(
            f"commits/{request}.json counts {dict(record.counts)} for a shard of {expected} samples; "
            "remove this commit, then the next run edits the shard again"
        )
    return record


def samples_of(store: Store, request: str) -> int:
    """Number of rows of a committed request."""
    return sum(_read(store, request).counts.values())


def _read(store: Store, request: str) -> CommitRecord:
    record = read_commit(store, request)
    if record is None:
        raise ValueError(f"commits/{request}.json was removed during the publish; run the job again")
    return record
