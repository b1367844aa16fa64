"""From commits to the manifest: what is committed becomes rows that readers see, under the rules of the job.

The rows of a request are published together, and each request once. The snapshot notes the rules beside every part, so
that publishing again writes only what is new or has other rules now; who publishes a request last decides its rules.
Where several requests are about the same samples (tries, runs with a limit), only the one that stands is published.
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
    """Somebody else published meanwhile; look again."""


@dataclass(frozen=True)
class Publication:
    """What a publish did."""

    version: int  # of the snapshot afterwards
    published: int  # requests that were added
    republished: int  # requests that had other rules before
    rows: int  # of the manifest afterwards


@dataclass(frozen=True)
class Piece:
    """Rows on their way into a part, which holds them whole."""

    requests: tuple[str, ...]
    batches: Iterator[tuple[Any, Columns]]  # Arrow batches, each with columns in place of or beside its own


def publish_edits(store: Store, plan: Plan, done: Collection[str]) -> Publication:
    """Publish the plan's committed requests (`done`: all committed ids) that the snapshot lacks or has by other rules.

    Errors: ValueError when a commit has not one row per sample of its shard; CommitConflict when others keep winning.
    """
    rivals = RequestPrecedence.of(store, plan)
    planned = (request for shard in plan.edit_requests() for request in shard)
    ready = {request.id: plan.rules_of(request.spec) for request in planned if request.id in done}
    for _ in range(ATTEMPTS):
        seen = read_snapshot(store)
        before = seen.rules
        in_force = rivals.in_force(before.keys() | ready.keys())
        stands = {request: rules for request, rules in ready.items() if in_force[request] == request}
        stale = {request: rules for request, rules in stands.items() if before.get(request) != rules.text}
        gone = {request: by for request, by in in_force.items() if request in before and by != request}
        try:
            snapshot = _publish(store, seen, stale, gone)
        except OutdatedError:
            continue
        again = len(before.keys() & stale.keys())
        return Publication(snapshot.version, len(stale) - again, again, snapshot.rows)
    raise CommitConflict(f"others published {ATTEMPTS} times meanwhile; run again when they are done")


def _publish(store: Store, seen: Snapshot, stale: Mapping[str, PublishRules], gone: Mapping[str, str]) -> Snapshot:
    """Write `stale` into the snapshot that was seen, and take `gone` (request -> by which other) out of it.

    What shares a part with them is copied as it is: its rules are its own publisher's.
    """
    leaving = stale.keys() | gone.keys()
    touched = [part for part in seen.parts if not leaving.isdisjoint(part.requests)]
    parts: list[ManifestPart] = []
    for text in dict.fromkeys([*(rules.text for rules in stale.values()), *(part.rules for part in touched)]):
        fresh = {request: rules for request, rules in stale.items() if rules.text == text}
        shared = [part for part in touched if part.rules == text]
        parts.extend(write_parts(store, chain(_fresh(store, fresh), _kept(store, shared, leaving)), text))
    removed = [Superseded(request, by, samples_of(store, request)) for request, by in gone.items()]

    def update(current: Snapshot) -> Snapshot:
        if current.version != seen.version:
            raise OutdatedError
        others = tuple(part for part in current.parts if part not in touched)
        return replace(current, parts=others).publish(parts, removed)

    try:
        return swap_snapshot(store, update)
    except OutdatedError:
        drop_parts(store, parts)
        raise


def write_parts(store: Store, pieces: Iterator[Piece], rules: str) -> Iterator[ManifestPart]:
    """Write rows as manifest parts, each piece whole in one of them."""
    with scratch_folder() as folder:
        for number in count():
            with PartWriter(MANIFEST_SCHEMA, folder, f"part-{number}", max_part_bytes=1 << 40) as writer:
                requests = _fill(writer, pieces)
            if not requests:
                return
            yield from (put_part(store, part, requests, rules) for part in writer.close())


def _fill(writer: PartWriter, pieces: Iterator[Piece]) -> list[str]:
    """Write pieces until a part has enough rows; the requests in it, none when there are no pieces left."""
    requests: list[str] = []
    rows = 0
    for piece in pieces:
        for batch, columns in piece.batches:
            writer.write_batch(batch, columns)
            rows += batch.num_rows
        requests += piece.requests
        if rows >= ROWS_PER_PART:
            break
    return requests


def _fresh(store: Store, rules: Mapping[str, PublishRules]) -> Iterator[Piece]:
    """The rows of committed requests. What is small is fetched ahead, many at once: a store may be far away."""
    samples = cache(partial(samples_of, store))
    with scratch_folder() as folder:
        near = open_store(folder)

        def fetch(request: str) -> CommitRecord:
            record = _verified(store, request, samples)
            for ref in record.objects:
                if ref.key.startswith("rows/"):
                    store.fetch(ref.key, folder / ref.key)
            return record

        for record in in_flight(fetch, rules, FETCHERS):
            yield Piece((record.request_id,), published_rows(near, record, rules[record.request_id]))
            for ref in record.objects:
                near.delete(ref.key)


def _kept(store: Store, parts: Iterable[ManifestPart], leaving: Collection[str]) -> Iterator[Piece]:
    """What stays of parts that are replaced, as it was published."""
    for part in parts:
        staying = tuple(request for request in part.requests if request not in leaving)
        if staying:
            yield Piece(staying, ((batch, {}) for batch in read_matching(store, part.key, "request_id", staying)))


def _verified(store: Store, request: str, samples: Callable[[str], int]) -> CommitRecord:
    """The commit of an edit. ValueError unless it has as many rows as its shard has samples."""
    record = _read(store, request)
    expected = samples(str(record.info["inversion"]))
    if sum(record.counts.values()) != expected:
        raise ValueError(
            f"commits/{request}.json counts {dict(record.counts)} for a shard of {expected} samples; "
            "remove the commit, and the shard is edited again"
        )
    return record


def samples_of(store: Store, request: str) -> int:
    """How many rows a committed request has."""
    return sum(_read(store, request).counts.values())


def _read(store: Store, request: str) -> CommitRecord:
    record = read_commit(store, request)
    if record is None:
        raise ValueError(f"commits/{request}.json is gone; it was there a moment ago")
    return record
