"""What attempts have left behind in an output: bytes that nothing points to, and nothing will.

Losers of races clean up after themselves; processes that were killed cannot. An attempt uploads its objects right
before the one write that names them, so what is unnamed and hours old stays unnamed. Objects are listed before the
records are read: one that is committed in between is never taken for a leftover. The tensors of a fit that died before
its record are no leftovers: the next fit of the same adopts them. Manifest parts that a publish has replaced stay while
somebody may be reading them: until the snapshot that replaced the last of them is as old as leftovers must be.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from manifests.commit import committed, read_commit
from manifests.snapshot import PARTS, POINTER, read_snapshot
from manifests.stores.preflight import PREFIX as PROBES
from manifests.stores.store import ObjectInfo, Store, Upload
from tasks.shards.background import in_flight

READERS = 16
ATTEMPT = r"[0-9a-f]{12}-\d{4}\.parquet"
"""How the name of an object ends that one attempt has written; see tasks.shards.output."""
PILOTS = "pilots/"
"""Outputs of pilots (coral plan --measure), which are removed at their end."""
NAMES: Mapping[str, re.Pattern[str]] = {
    "data/": re.compile(rf"data/edit=[^/]+/[0-9a-f]{{64}}-{ATTEMPT}"),
    "rows/": re.compile(rf"rows/[0-9a-f]{{64}}-{ATTEMPT}"),
    "inversions/": re.compile(rf"inversions/[0-9a-f]+/[0-9a-f]+-{ATTEMPT}"),
    PARTS: re.compile(rf"{PARTS}[0-9a-f]+-[0-9a-f]+\.parquet"),
    PROBES: re.compile(rf"{PROBES}[0-9a-f]{{32}}"),
    PILOTS: re.compile(rf"{PILOTS}[0-9a-f]{{12}}/.+"),
}
"""Prefix -> the names below it that we give. What has another name is not ours, and stays."""


@dataclass(frozen=True)
class Leftovers:
    """What can go."""

    objects: tuple[ObjectInfo, ...]
    uploads: tuple[Upload, ...]

    @property
    def size(self) -> int:
        """Bytes of the objects; those of uploads are not known."""
        return sum(each.size for each in self.objects)


def find_leftovers(store: Store, hours: float, now: float | None = None) -> Leftovers:
    """Objects and uploads of names of ours that nothing mentions, and that are older than so many hours.

    Errors: ValueError where no run was ever planned, and for a record that is damaged: what it names is not known then.
    """
    if not any(store.list("plans/")):
        raise ValueError("no run was ever planned there; give the output of a job")
    before = (time.time() if now is None else now) - 3600 * hours
    pointer = store.head(POINTER)
    replaced_lately = pointer is not None and pointer.modified >= before
    prefixes = [prefix for prefix in NAMES if not (replaced_lately and prefix == PARTS)]
    old = [info for info in _ours(store, prefixes) if info.modified < before]
    uploads = tuple(upload for upload in store.uploads() if upload.started < before and _is_ours(upload))
    named = _named(store) if old else frozenset()
    return Leftovers(tuple(info for info in old if info.key not in named), uploads)


def remove(store: Store, leftovers: Leftovers) -> None:
    """Delete and abort all of it; what is gone already is no error."""
    for _ in in_flight(store.delete, [info.key for info in leftovers.objects], READERS):
        continue
    for upload in leftovers.uploads:
        store.abort(upload)


def _ours(store: Store, prefixes: Sequence[str]) -> Iterator[ObjectInfo]:
    for prefix in prefixes:
        yield from (info for info in store.list(prefix) if NAMES[prefix].fullmatch(info.key))


def _is_ours(upload: Upload) -> bool:
    """Whether it was to get a name of ours; where names are unknown, uploads are the store's own."""
    return not upload.key or any(name.fullmatch(upload.key) for name in NAMES.values())


def _named(store: Store) -> frozenset[str]:
    """The keys that the commits and the snapshot point to."""
    parts = {part.key for part in read_snapshot(store).parts}
    objects = {key for keys in in_flight(lambda each: _objects(store, each), committed(store), READERS) for key in keys}
    return frozenset(parts | objects)


def _objects(store: Store, request_id: str) -> Sequence[str]:
    record = read_commit(store, request_id)
    return [] if record is None else [ref.key for ref in record.objects]
