"""Leftovers in an output: objects that no record names and that no record will name.

An attempt that loses a race deletes its own objects; a killed process cannot. An attempt uploads its objects directly
before the single write that names them, so an object that is hours old and not named will never be named. Objects are
listed before the records are read, so an object that is committed in between is not taken for a leftover. The tensors
of a fit that was killed before it wrote its record are not leftovers: the next attempt at this fit uses them. Files of
the manifest that a publish has replaced are kept for readers of earlier versions for some days.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from manifests.commit import committed, read_commit
from manifests.stores.preflight import PREFIX as PROBES
from manifests.stores.store import ObjectInfo, Store, Upload
from manifests.table import FOLDER, HISTORY_DAYS, history, open_manifest
from tasks.shards.background import in_flight

READERS = 16
ATTEMPT = r"[0-9a-f]{12}-\d{4}\.parquet"
"""End of the name of an object that an attempt writes; see tasks.shards.output."""
PARTS = "part-"
"""Beginning of the names of the manifest's files in outputs of earlier versions."""
PILOTS = "pilots/"
"""Prefix of the outputs of pilots (coral plan --measure). A pilot deletes its output when it ends."""
NAMES: Mapping[str, re.Pattern[str]] = {
    "data/": re.compile(rf"data/edit=[^/]+/[0-9a-f]{{64}}-{ATTEMPT}"),
    "rows/": re.compile(rf"rows/[0-9a-f]{{64}}-{ATTEMPT}"),
    "inversions/": re.compile(rf"inversions/[0-9a-f]+/[0-9a-f]+-{ATTEMPT}"),
    f"{FOLDER}/": re.compile(rf"{FOLDER}/(edit=[^/]+/[0-9a-f]{{32}}|{PARTS}[0-9a-f]+-[0-9a-f]+)\.parquet"),
    PROBES: re.compile(rf"{PROBES}[0-9a-f]{{32}}(/_delta_log/.+)?"),
    PILOTS: re.compile(rf"{PILOTS}[0-9a-f]{{12}}/.+"),
}
"""Prefix -> names that coral gives to objects below it. Objects with other names are never deleted."""


@dataclass(frozen=True)
class Leftovers:
    """Objects and unfinished uploads that can be deleted."""

    objects: tuple[ObjectInfo, ...]
    uploads: tuple[Upload, ...]

    @property
    def size(self) -> int:
        """Bytes of the objects; the size of uploads is not known."""
        return sum(each.size for each in self.objects)


def find_leftovers(store: Store, hours: float, now: float | None = None, history_days: float = 7) -> Leftovers:
    """Objects and uploads with names of coral that no record names, and that are older than `hours`.

    Files of the manifest that were replaced in the last `history_days` are no leftovers. `now` is the time in seconds
    since the epoch, the current time by default. Errors: ValueError for an output without any plan, for more days than
    the manifest's log keeps, and for a damaged record, because the objects it names are not known.
    """
    if not any(store.list("plans/")):
        raise ValueError("no run was ever planned there; give the output of a job")
    if history_days > HISTORY_DAYS:
        raise ValueError(f"the manifest's log tells of {HISTORY_DAYS} days only; {history_days:g} cannot be kept")
    now = time.time() if now is None else now
    before = now - 3600 * hours
    old = [info for info in _own_objects(store) if info.modified < before]
    uploads = tuple(upload for upload in store.uploads() if upload.started < before and _has_own_name(upload))
    if old:
        kept_seconds = max(0.0, 86400 * history_days - (now - time.time()))
        named = _committed_objects(store) | _manifest_objects(store, kept_seconds / 3600, before)
        old = [info for info in old if info.key not in named]
    return Leftovers(tuple(old), uploads)


def remove(store: Store, leftovers: Leftovers) -> None:
    """Delete all objects and abort all uploads; one that does not exist any more is not an error."""
    for _ in in_flight(store.delete, [info.key for info in leftovers.objects], READERS):
        continue
    for upload in leftovers.uploads:
        store.abort(upload)


def _own_objects(store: Store) -> Iterator[ObjectInfo]:
    for prefix, names in NAMES.items():
        yield from (info for info in store.list(prefix) if names.fullmatch(info.key))


def _has_own_name(upload: Upload) -> bool:
    """Whether its target has a name of coral. A store that does not know targets only lists uploads of its own."""
    return not upload.key or any(name.fullmatch(upload.key) for name in NAMES.values())


def _committed_objects(store: Store) -> set[str]:
    """The keys that the commits name."""
    return {key for keys in in_flight(lambda each: _objects(store, each), committed(store), READERS) for key in keys}


def _manifest_objects(store: Store, kept_hours: float, before: float) -> set[str]:
    """The keys of the manifest's files, of its current version and of those that were replaced in the last hours.

    Parts of the form before the table stay until the table's first version is older than `before`.
    """
    manifest = open_manifest(store)
    files = manifest.files.keys() | (manifest.removed_files() - manifest.removed_files(kept_hours))
    versions = history(store)
    if versions and versions[-1]["version"] <= 1 and versions[-1]["time"].timestamp() >= before:
        files |= {info.key.removeprefix(f"{FOLDER}/") for info in store.list(f"{FOLDER}/{PARTS}")}
    return {f"{FOLDER}/{path}" for path in files}


def _objects(store: Store, request_id: str) -> Sequence[str]:
    record = read_commit(store, request_id)
    return [] if record is None else [ref.key for ref in record.objects]
