"""Whether an output holds what its records promise: every commit's objects, and the rows of the manifest.

Objects are checked by their sizes, from one listing of each prefix; a deep check reads all and compares digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from manifests.commit import CommitRecord, ObjectRef, committed, read_commit
from manifests.stores.store import ObjectChanged, Store
from manifests.table import FOLDER, Manifest, open_manifest
from tasks.shards.background import in_flight
from tasks.spec.callbacks import ignore

READERS = 16
CHUNK_BYTES = 16 << 20
PREFIXES = ("data/", "rows/", "inversions/", f"{FOLDER}/")


@dataclass(frozen=True)
class Verification:
    """The result of a check."""

    commits: int
    objects: int  # that commits and the manifest name
    rows: int  # of the manifest
    problems: tuple[str, ...]  # one line each


def verify(store: Store, deep: bool = False, on_commits: Callable[[int, int], None] = ignore) -> Verification:
    """Compare an output with its commits and its manifest; `on_commits` is called with (done, all) after each commit.

    Errors: ValueError for a manifest whose log cannot be read.
    """
    ids, manifest = sorted(committed(store)), open_manifest(store)
    sizes = {info.key: info.size for prefix in PREFIXES for info in store.list(prefix)}
    problems, objects, counts = list[str](), 0, dict[str, int]()
    checked = in_flight(lambda id_: _check_commit(store, id_, sizes, deep), ids, READERS)
    for number, (record, found) in enumerate(checked, 1):
        problems += found
        if record is not None:
            objects += len(record.objects)
            counts[record.request_id] = sum(record.counts.values())
        on_commits(number, len(ids))
    problems += _check_manifest(manifest, sizes, counts)
    return Verification(len(ids), objects + len(manifest.files), manifest.rows, tuple(problems))


def _check_commit(
    store: Store, request: str, sizes: Mapping[str, int], deep: bool
) -> tuple[CommitRecord | None, list[str]]:
    try:
        record = read_commit(store, request)
    except ValueError as error:
        return None, [f"commits/{request}.json: {error}"]
    if record is None:
        return None, [f"commits/{request}.json: was removed meanwhile"]
    problems = [problem for ref in record.objects for problem in _check_object(store, ref, sizes, deep)]
    total = sum(record.counts.values())
    for prefix in ("data/", "rows/", "inversions/"):
        refs = [ref for ref in record.objects if ref.key.startswith(prefix)]
        if refs and sum(ref.rows for ref in refs) != total:
            problems.append(
                f"commits/{request}.json: counts {total} samples, and its objects below {prefix} other rows"
            )
    return record, problems


def _check_object(store: Store, ref: ObjectRef, sizes: Mapping[str, int], deep: bool) -> Iterator[str]:
    if ref.key not in sizes:
        yield f"{ref.key}: is missing"
    elif sizes[ref.key] != ref.size:
        yield f"{ref.key}: has {sizes[ref.key]} bytes, its commit says {ref.size}"
    elif deep and _digest(store, ref) != ref.sha256:
        yield f"{ref.key}: has other bytes than were committed"


def _digest(store: Store, ref: ObjectRef) -> str:
    """sha256 of the object, read in ranges; empty if it changes while it is read."""
    found = hashlib.sha256()
    try:
        for start in range(0, ref.size, CHUNK_BYTES):
            found.update(store.read(ref.key, start, min(CHUNK_BYTES, ref.size - start)))
    except (ObjectChanged, FileNotFoundError):
        return ""
    return found.hexdigest()


def _check_manifest(manifest: Manifest, sizes: Mapping[str, int], counts: Mapping[str, int]) -> Iterator[str]:
    """`counts`: request -> samples by its commit."""
    broken = False
    for path, file in manifest.files.items():
        size = sizes.get(f"{FOLDER}/{path}")
        if size is None:
            yield f"{FOLDER}/{path}: is missing, the manifest names it"
        elif file.size not in (0, size):  # it is not known of parts of earlier versions
            yield f"{FOLDER}/{path}: has {size} bytes, the manifest says {file.size}"
        broken |= size is None or file.size not in (0, size)
    if broken:
        return
    for request, published in manifest.requests.items():
        if request not in counts:
            yield f"commits/{request}.json: is missing, its rows are in the manifest"
        elif counts[request] != published.rows:
            yield f"{request}: has {published.rows} rows in the manifest, its commit counts {counts[request]} samples"
