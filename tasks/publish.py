"""From commits to the manifest: what is committed and not published yet becomes rows that readers see.

The rows of a request are published together, and each request once. A request for the first samples of a shard (a run
with a limit) makes way as soon as the whole shard is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from typing import Any

from manifests.commit import CommitConflict, CommitRecord, locations, read_commit
from manifests.reader import read_rows
from manifests.schema import MANIFEST_SCHEMA
from manifests.snapshot import ManifestPart, Snapshot, Superseded, put_part, read_snapshot, swap_snapshot
from manifests.store import Store
from manifests.writer import PartWriter
from tasks.outputs import scratch_folder
from tasks.plan import Plan, read_plans
from tasks.requests import EditRequest, InvertRequest

ROWS_PER_PART = 1_000_000
ROWS_AT_ONCE = 4096
ATTEMPTS = 10


class OutdatedError(Exception):
    """Somebody else published meanwhile; look again."""


@dataclass(frozen=True)
class Publication:
    """What a publish did."""

    version: int  # of the snapshot afterwards
    published: int  # requests that were added
    rows: int  # of the manifest afterwards


def publish_edits(store: Store, plan: Plan, done: frozenset[str]) -> Publication:
    """Publish the plan's committed requests (`done`: all committed ids) that are not in the snapshot yet.

    Errors: ValueError when a commit has not one row per sample of its shard; CommitConflict when others keep winning.
    """
    whole = whole_of_limited(store)
    planned = (request.id for shard in plan.edit_requests() for request in shard)
    ready = dict.fromkeys(request for request in planned if request in done)  # in the order of the plan
    for _ in range(ATTEMPTS):
        seen = read_snapshot(store)
        published = seen.requests
        obsolete = {limited for limited, by in whole.items() if by in published or by in ready}
        fresh = [request for request in ready if request not in published and request not in obsolete]
        try:
            gone = {request: whole[request] for request in obsolete & published}
            snapshot = _publish(store, seen, fresh, gone)
        except OutdatedError:
            continue
        return Publication(snapshot.version, len(fresh), snapshot.rows)
    raise CommitConflict(f"others published {ATTEMPTS} times meanwhile; run again when they are done")


def whole_of_limited(store: Store) -> dict[str, str]:
    """Edit requests for the first samples of a shard, by earlier runs with a limit -> the request for all of it."""
    found: dict[str, str] = {}
    for plan in read_plans(store, limited=True):
        for shard in (shard for shard in plan.shards if shard.limit is not None):
            inversion = InvertRequest(shard=shard, spec=plan.invert)
            complete = replace(inversion, shard=replace(shard, limit=None))
            for edit in plan.edits:
                limited = EditRequest(inversion=inversion, spec=edit)
                found[limited.id] = EditRequest(inversion=complete, spec=edit).id
    return found


def _publish(store: Store, seen: Snapshot, fresh: Sequence[str], gone: Mapping[str, str]) -> Snapshot:
    """Add `fresh` to the snapshot that was seen, and take `gone` (request -> by which other) out of it."""
    shared = [part for part in seen.parts if not gone.keys().isdisjoint(part.requests)]
    again = [request for part in shared for request in part.requests if request not in gone]
    parts = write_parts(store, [*fresh, *again])
    rows = {request: sum(_read(store, request).counts.values()) for request in gone}
    removed = [Superseded(request, by, rows[request]) for request, by in gone.items()]

    def update(current: Snapshot) -> Snapshot:
        if current.version != seen.version:
            raise OutdatedError
        kept = tuple(part for part in current.parts if part not in shared)
        return replace(current, parts=kept).publish(parts, removed)

    return swap_snapshot(store, update)


def write_parts(store: Store, requests: Sequence[str]) -> list[ManifestPart]:
    """Write the rows of committed requests as manifest parts, each request whole in one of them."""
    parts: list[ManifestPart] = []
    with scratch_folder() as folder:
        for number, records in enumerate(_shares(store, requests)):
            with PartWriter(MANIFEST_SCHEMA, folder, f"part-{number}", max_part_bytes=1 << 40) as writer:
                for record in records:
                    for rows in manifest_rows(store, record):
                        writer.write(rows)
            ids = [record.request_id for record in records]
            parts.extend(put_part(store, part, ids) for part in writer.close())
    return parts


def manifest_rows(store: Store, record: CommitRecord) -> Iterator[list[dict[str, Any]]]:
    """The published rows of a commit, some at a time. ValueError when they are not one per sample."""
    keys = [ref.key for ref in record.objects if ref.key.startswith("rows/")]
    stored = (row for key in keys for row in read_rows(store, key))
    placed, total = zip_longest(stored, locations(record)), 0
    while pairs := list(islice(placed, ROWS_AT_ONCE)):
        if any(row is None or place is None for row, place in pairs):
            raise ValueError(f"commits/{record.request_id}.json: it has not as many rows as images")
        yield [_published(row, record, place) for row, place in pairs]
        total += len(pairs)
    if total != sum(record.counts.values()):
        raise ValueError(f"commits/{record.request_id}.json counts {dict(record.counts)}, and has {total} rows")


def _published(row: dict[str, Any], record: CommitRecord, place: tuple[str, int, int]) -> dict[str, Any]:
    image_uri, row_group, index = place
    good = row["status"] == "ok"
    where = {"image_uri": image_uri, "row_group": row_group, "row": index} if good else {}
    return {**row, **where, "request_id": record.request_id, "synthetic": good}


def _shares(store: Store, requests: Sequence[str]) -> Iterator[list[CommitRecord]]:
    """The records of the requests, cut where a part has enough rows."""
    share: list[CommitRecord] = []
    rows = 0
    for request in requests:
        record = _verified(store, request)
        share.append(record)
        rows += sum(record.counts.values())
        if rows >= ROWS_PER_PART:
            yield share
            share, rows = [], 0
    if share:
        yield share


def _verified(store: Store, request_id: str) -> CommitRecord:
    """The commit of an edit. ValueError unless it has as many rows as its shard has samples."""
    record = _read(store, request_id)
    samples = sum(_read(store, str(record.info["inversion"])).counts.values())
    if sum(record.counts.values()) != samples:
        raise ValueError(
            f"commits/{request_id}.json counts {dict(record.counts)} for a shard of {samples} samples; "
            "remove the commit, and the shard is edited again"
        )
    return record


def _read(store: Store, request_id: str) -> CommitRecord:
    record = read_commit(store, request_id)
    if record is None:
        raise ValueError(f"commits/{request_id}.json is gone; it was there a moment ago")
    return record
