"""The commit protocol: first the data, under names that no other attempt writes, then one create-only record.

Only the record commits/<request_id>.json makes the data of a request visible, and the first record wins. A later
attempt deletes its own objects and returns the winner's record.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from sys import intern
from typing import Any

from manifests.parquet.writer import LocalPart
from manifests.stores.store import CommitConflict, CommitUnknown, Store

__all__ = [
    "CommitConflict",
    "CommitRecord",
    "CommitUnknown",
    "ObjectRef",
    "commit",
    "committed",
    "read_commit",
]

PREFIX = "commits/"
PAUSES = (0.1, 0.5, 2.0)
"""Seconds to wait after each attempt to write a record whose answer was lost."""


@dataclass(frozen=True)
class ObjectRef:
    """An immutable data object."""

    key: str
    size: int  # bytes
    sha256: str
    rows: int
    row_groups: tuple[int, ...] = ()  # rows of each row group, for Parquet objects

    @classmethod
    def of(cls, key: str, part: LocalPart) -> ObjectRef:
        """The reference to a finished part that will be uploaded under `key`."""
        return cls(key, part.size, part.sha256, part.rows, part.row_groups)


@dataclass(frozen=True)
class CommitRecord:
    """What one attempt at one request produced."""

    request_id: str
    kind: str  # what the request was: "invert", "edit", ...
    attempt: str  # unique per attempt, and part of the name of every object
    objects: tuple[ObjectRef, ...]
    counts: Mapping[str, int]  # status -> samples
    seconds: Mapping[str, float] = field(default_factory=dict)  # phase -> wall clock
    info: Mapping[str, Any] = field(default_factory=dict)  # JSON: the request itself, shard, edit, supersedes, ...

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> CommitRecord:
        """ValueError when the bytes are not a commit record."""
        try:
            fields = json.loads(data)
            objects = tuple(ObjectRef(**{**ref, "row_groups": tuple(ref["row_groups"])}) for ref in fields["objects"])
            return cls(**{**fields, "objects": objects})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a commit record: {error!r} in {data[:80]!r}") from error


def commit(store: Store, record: CommitRecord, files: Mapping[str, Path]) -> CommitRecord:
    """Upload the files (object key -> local path) and make them visible. Returns the record that is visible afterwards.

    If another attempt was first, that is its record, and the objects of this attempt are deleted.
    CommitUnknown if the store's answer was lost each time and no record exists: call again with the same record.
    """
    _check(record, files)
    winner = read_commit(store, record.request_id)
    if winner is None:
        for key, path in files.items():
            store.put_file(key, path)
        winner = _put_record(store, record)
    kept = {ref.key for ref in winner.objects}
    for key in files:
        if key not in kept:
            store.delete(key)
    return winner


def committed(store: Store) -> set[str]:
    """The id of every committed request, from one listing."""
    found = (info.key for info in store.list(PREFIX) if info.key.endswith(".json"))
    return {intern(key.removeprefix(PREFIX).removesuffix(".json")) for key in found}


def read_commit(store: Store, request_id: str) -> CommitRecord | None:
    """The record of a request, or None while it is not committed."""
    try:
        data = store.read(_key(request_id))
    except FileNotFoundError:
        return None
    return CommitRecord.from_json(data)


def _put_record(store: Store, record: CommitRecord) -> CommitRecord:
    """Write the record unless one exists. Returns the record that exists afterwards.

    If the answer is lost, the record is written again. If the first write had succeeded, the second is refused, and
    the record that is read is ours.
    """
    key = _key(record.request_id)
    for pause in PAUSES:
        with suppress(CommitUnknown):
            if store.put_new(key, record.to_json()):
                return record
            break
        time.sleep(pause)
    winner = read_commit(store, record.request_id)
    if winner is None:
        raise CommitUnknown(f"whether {key!r} was written is unknown; commit the same record again")
    return winner


def _check(record: CommitRecord, files: Mapping[str, Path]) -> None:
    """ValueError if the record and the files differ, or if an object's name lacks the attempt."""
    sizes = {ref.key: ref.size for ref in record.objects}
    if sizes.keys() != files.keys() or len(sizes) != len(record.objects):
        raise ValueError(
            f"the record of {record.request_id} names the objects {sorted(sizes)}; given are {sorted(files)}"
        )
    for key, path in files.items():
        if not record.attempt or record.attempt not in key:
            raise ValueError(f"the object {key!r} must have the attempt {record.attempt!r} in its name")
        if path.stat().st_size != sizes[key]:
            raise ValueError(f"{path} has {path.stat().st_size} bytes, the record says {sizes[key]}")


def _key(request_id: str) -> str:
    if "/" in request_id:
        raise ValueError(f"the request id {request_id!r} contains a slash; an id is one plain name")
    return f"{PREFIX}{request_id}.json"
