"""The published state: snapshots/LATEST.json names the manifest parts that readers see, and is replaced atomically.

Parts are immutable, and no two have the same name, so that a publisher that lost a race can delete its own parts
without effect on others. A snapshot that is equal to the current one is not written.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from manifests.parquet.writer import LocalPart
from manifests.stores.store import CommitConflict, CommitUnknown, Store

POINTER = "snapshots/LATEST.json"
PARTS = "manifest/part-"
ATTEMPTS = 60


@dataclass(frozen=True)
class ManifestPart:
    """One immutable Parquet file of published rows."""

    key: str
    rows: int
    requests: tuple[str, ...]  # ids; the part holds all rows of each
    rules: str = ""  # text of the rules the rows were published under; compared here, never parsed


@dataclass(frozen=True)
class Superseded:
    """A retry replaced some rows of an earlier request; the replaced rows are in no part any more."""

    request_id: str
    by: str  # request id of the retry; its commit names the samples
    rows: int


@dataclass(frozen=True)
class Snapshot:
    """What readers see. The first snapshot, version 0, is empty and is not stored."""

    version: int = 0
    parts: tuple[ManifestPart, ...] = ()
    superseded: tuple[Superseded, ...] = ()
    created: str = ""  # UTC, of the swap

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def requests(self) -> frozenset[str]:
        """The published requests."""
        return frozenset(self.rules)

    @property
    def rules(self) -> dict[str, str]:
        """Published request -> the rules it was published under."""
        return {request: part.rules for part in self.parts for request in part.requests}

    def publish(self, parts: Iterable[ManifestPart], superseded: Iterable[Superseded] = ()) -> Snapshot:
        """This snapshot with the given parts in place of every part that has a request in common with them.

        ValueError if a request would be lost, or if two of the given parts have the same one.
        """
        fresh = {part.key: part for part in parts}
        claimed = [request for part in fresh.values() for request in part.requests]
        replaced = [part for part in self.parts if not set(claimed).isdisjoint(part.requests)]
        lost = {request for part in replaced for request in part.requests}.difference(claimed)
        if lost or len(claimed) != len(set(claimed)):
            raise ValueError(
                f"publishing would lose the requests {sorted(lost)} or has one twice; "
                "write the requests of a replaced part together, each into one part"
            )
        kept = {part.key: part for part in self.parts if part not in replaced}
        return replace(
            self,
            parts=tuple(sorted({**kept, **fresh}.values(), key=lambda part: part.key)),
            superseded=tuple(sorted({*self.superseded, *superseded}, key=lambda each: (each.request_id, each.by))),
        )

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Snapshot:
        """ValueError when the bytes are not a snapshot."""
        try:
            fields = json.loads(data)
            parts = tuple(ManifestPart(**{**part, "requests": tuple(part["requests"])}) for part in fields["parts"])
            superseded = tuple(Superseded(**each) for each in fields["superseded"])
            return cls(**{**fields, "parts": parts, "superseded": superseded})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a snapshot: {error!r} in {data[:80]!r}") from error


def put_part(store: Store, part: LocalPart, requests: Iterable[str], rules: str = "") -> ManifestPart:
    """Upload a manifest part under a unique name, so that a process that does not publish it may delete it."""
    key = f"{PARTS}{part.sha256[:16]}-{secrets.token_hex(6)}.parquet"
    store.put_file(key, part.path)
    return ManifestPart(key, part.rows, tuple(sorted(set(requests))), rules)


def drop_parts(store: Store, parts: Iterable[ManifestPart]) -> None:
    """Delete the parts that this process uploaded and the snapshot does not name, because another process was first."""
    named = {part.key for part in read_snapshot(store).parts}
    for part in parts:
        if part.key not in named:
            store.delete(part.key)


def read_snapshot(store: Store) -> Snapshot:
    """The current snapshot; the empty one before the first publish."""
    return _read_with_etag(store)[0]


def swap_snapshot(store: Store, update: Callable[[Snapshot], Snapshot]) -> Snapshot:
    """Replace the snapshot by update(snapshot), which is called again whenever another process replaced it first.

    Nothing is written if the update changes nothing. FileNotFoundError if it names a part that does not exist;
    CommitConflict if other processes were first in all ATTEMPTS attempts.
    """
    for attempt in range(ATTEMPTS):
        current, etag = _read_with_etag(store)
        wanted = replace(update(current), version=current.version, created=current.created)
        if wanted == current:
            return current
        _check_parts(store, wanted, current)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        if _put(store, replace(wanted, version=current.version + 1, created=created), etag):
            return replace(wanted, version=current.version + 1, created=created)
        time.sleep(random.uniform(0, min(1.0, 0.01 * 2**attempt)))
    raise CommitConflict(
        f"{POINTER} was changed by other processes {ATTEMPTS} times in a row; publish again when they are done"
    )


def _read_with_etag(store: Store) -> tuple[Snapshot, str | None]:
    """The snapshot and an etag that is not newer: the etag is read first, so that a swap with it loses no write."""
    info = store.head(POINTER)
    return (Snapshot(), None) if info is None else (Snapshot.from_json(store.read(POINTER)), info.etag)


def _put(store: Store, snapshot: Snapshot, etag: str | None) -> bool:
    """False also if the answer was lost: the next attempt finds the update applied, or applies it."""
    try:
        data = snapshot.to_json()
        return store.put_new(POINTER, data) if etag is None else store.put_if(POINTER, data, etag)
    except CommitUnknown:
        return False


def _check_parts(store: Store, wanted: Snapshot, current: Snapshot) -> None:
    for part in set(wanted.parts).difference(current.parts):
        if store.head(part.key) is None:
            raise FileNotFoundError(f"the snapshot would name {part.key!r}, which does not exist; put_part() it first")
