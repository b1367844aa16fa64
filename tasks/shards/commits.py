"""Information from the commits of a shard: which edits are done, its inversion, and why it is quarantined."""

from __future__ import annotations

from collections.abc import Sequence

from manifests.commit import CommitRecord, read_commit
from manifests.stores.store import Store
from tasks.shards.output import ShardReport
from tasks.spec.requests import EditRequest


def why_quarantined(store: Store, requests: Sequence[EditRequest]) -> str:
    """Why the shard of these edits has no latents at all; empty if it has."""
    return str(inversion_of(store, requests).info.get("quarantined", ""))


def inversion_of(store: Store, requests: Sequence[EditRequest]) -> CommitRecord:
    """The committed inversion that edits of one shard share. ValueError if there is none."""
    record = read_commit(store, requests[0].inversion.id)
    if record is None:
        raise ValueError(f"{requests[0].shard.uri} is not inverted yet; run the invert wave first")
    return record


def split_committed(store: Store, requests: Sequence[EditRequest]) -> tuple[list[ShardReport], list[EditRequest]]:
    """Reports of the committed requests, and the other requests."""
    records = {request.id: read_commit(store, request.id) for request in requests}
    reports = [ShardReport.of(record, reused=True) for record in records.values() if record is not None]
    return reports, [request for request in requests if records[request.id] is None]


def commit_info(request: EditRequest) -> dict[str, object]:
    """Information about the request for the commit record."""
    return {
        "name": f"{request.spec.edit_id} of {request.shard.uri}",
        "shard": request.shard.content,
        "edit": request.spec.edit_id,
        "inversion": request.inversion.id,
    }
