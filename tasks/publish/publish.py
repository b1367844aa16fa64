"""From commits to the manifest: committed requests become rows that readers see, under the publish rules of the job.

All rows of a request are published together, and each request once. Every row says which rules it was published by, so
that publishing again writes only requests that are new or have other rules now; the last publish of a request decides
its rules. Of several requests about the same samples (retries, runs with a limit), only the one in force is published.

One publish is one transaction. If another process commits first, the changes are computed again; an edit that the other
did not change keeps the files that were written for it.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from types import TracebackType

from manifests.commit import CommitConflict, CommitRecord, read_commit
from manifests.parquet.many_objects import ManyObjects, many_objects
from manifests.stores.store import Store
from manifests.table import FOLDER, Manifest, PublishedRequest, open_manifest
from manifests.table_files import FULL_BYTES, FULL_ROWS, Batches, TableFile, kept_rows, write_files
from tasks.plan.plan import Plan
from tasks.plan.precedence import RequestPrecedence
from tasks.publish.changes import Changes, changes_of
from tasks.publish.published_rows import check_counts, published_columns, rows_keys
from tasks.shards.background import in_flight, read_ahead
from tasks.shards.output import scratch_folder
from tasks.spec.publish_rules import PublishRules

ATTEMPTS = 60
FETCHERS = 16
ROWS_AT_ONCE = 1 << 16
SMALL_FILES = 32
"""A publish that changes an edit writes its files together if more than so many of them are not a quarter full."""


@dataclass(frozen=True)
class Publication:
    """The result of a publish."""

    version: int  # of the manifest afterwards
    published: int  # requests that were added
    republished: int  # requests that had other rules before
    rows: int  # of the manifest afterwards
    removed: int = 0  # requests whose rows left: superseded, of a replaced content, or of a source that is gone
    marked: int = 0  # requests whose source is gone, or is there again


@dataclass(frozen=True)
class EditChange:
    """The change of one edit's files. Equal changes write equal rows."""

    edit: str
    write: tuple[tuple[str, str], ...]  # request, text of its rules; in the order of the rows
    without: frozenset[str]  # requests whose present rows leave the files
    states: tuple[tuple[str, str], ...]  # request, new source_state
    files: tuple[str, ...]  # that are replaced


def publish_edits(store: Store, plan: Plan, done: Collection[str]) -> Publication:
    """Publish the plan's committed requests that the manifest lacks or has by other rules; `done`: committed ids.

    Errors: ValueError if a commit does not have one row per sample of its shard; CommitConflict if other processes
    publish at the same time in every attempt.
    """
    precedence = RequestPrecedence.of(store, plan)
    with scratch_folder() as folder, many_objects(store, folder) as objects, _Publisher(store, folder, objects) as one:
        for attempt in range(ATTEMPTS):
            manifest = open_manifest(store)
            published = manifest.read_requests(one.known)
            if one.last is not None and manifest.has(one.transaction):
                return one.last
            changes = changes_of(manifest, published, plan, precedence, done)
            publication = one.apply(manifest, published, changes, {"run_id": plan.run_id})
            if publication is not None:
                return publication
            time.sleep(random.uniform(0, min(1.0, 0.01 * 2**attempt)))
    raise CommitConflict(f"other processes published during all {ATTEMPTS} attempts; publish again when they are done")


class _Publisher:
    """One transaction, tried on one version after the other; files that it did not commit are deleted at its end."""

    def __init__(self, store: Store, folder: Path, objects: ManyObjects) -> None:
        self.store, self.folder, self.objects = store, folder, objects
        self.transaction = uuid.uuid4().hex
        self.known: dict[str, list[PublishedRequest]] = {}
        self.last: Publication | None = None  # what the last attempt would be, if it was successful
        self._written: dict[EditChange, list[TableFile]] = {}
        self._used: set[str] = set()  # paths that the last attempt named, and may have committed
        self._samples = cache(partial(samples_of, store))

    def __enter__(self) -> _Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in chain.from_iterable(self._written.values()):
            if file.path not in self._used:
                self.store.delete(f"{FOLDER}/{file.path}")

    def apply(
        self, manifest: Manifest, published: Mapping[str, PublishedRequest], changes: Changes, info: Mapping[str, str]
    ) -> Publication | None:
        """Make the changes in one transaction. None if another process was first."""
        edits = list(_by_edit(manifest, published, changes))
        self._used = set()  # the attempt before did not commit
        if not edits:
            return Publication(manifest.version, 0, 0, manifest.rows)
        added = [file for change in edits for file in self._files_of(manifest, change)]
        removed = [path for change in edits for path in change.files]
        again = 0 if manifest.earlier else len(changes.write.keys() & published.keys())
        rows = manifest.rows + sum(file.rows for file in added) - sum(manifest.files[path].rows for path in removed)
        self.last = Publication(
            version=manifest.version + 1,
            published=len(changes.write) - again,
            republished=again,
            rows=sum(file.rows for file in added) if manifest.earlier else rows,
            removed=len(changes.remove),
            marked=len(changes.states),
        )
        self._used = {file.path for file in added}
        leaving = {each for change in edits for each in change.without if each in published}
        left = 0 if manifest.earlier else sum(published[each].rows for each in leaving)
        new = self.last.rows - (0 if manifest.earlier else manifest.rows) + left
        told = {**info, **_told(self.last, edits), "rows": {"added": new, "removed": left, "all": self.last.rows}}
        committed = manifest.commit(self.transaction, added, removed, told)
        return self.last if committed else None

    def _files_of(self, manifest: Manifest, change: EditChange) -> list[TableFile]:
        """The new files of an edit, written unless an earlier attempt wrote them."""
        if change not in self._written:
            kept = (self._kept(manifest, path, change) for path in change.files)
            with read_ahead(chain(filter(None, kept), self._fresh(change))) as units:
                self._written[change] = list(write_files(self.store, FOLDER, change.edit, units, self.folder))
        return self._written[change]

    def _kept(self, manifest: Manifest, path: str, change: EditChange) -> Batches | None:
        """The rows of a replaced file that stay; None if there are none."""
        if all(each.request_id in change.without for each in self.known[path]):
            return None
        return kept_rows(manifest.part([path]), change.without, dict(change.states))

    def _fresh(self, change: EditChange) -> Iterator[Batches]:
        """The rows of committed requests, by their rules and for at least ROWS_AT_ONCE rows at once."""
        states, by_rules = dict(change.states), defaultdict[str, list[str]](list)
        for request, text in change.write:
            by_rules[text].append(request)
        for text, requests in by_rules.items():
            rules, waiting, rows = PublishRules.read(text), list[CommitRecord](), 0
            for record in in_flight(self._verified, requests, FETCHERS):
                waiting.append(record)
                rows += sum(record.counts.values())
                if rows >= ROWS_AT_ONCE:
                    yield self._rows(waiting, rules, states)
                    waiting, rows = [], 0
            if rows:
                yield self._rows(waiting, rules, states)

    def _rows(self, records: Sequence[CommitRecord], rules: PublishRules, states: Mapping[str, str]) -> Batches:
        table, counts = self.objects.read([key for record in records for key in rows_keys(record)])
        check_counts(records, counts)
        (batch,) = table.combine_chunks().to_batches()
        return [(batch, published_columns(batch, records, rules, states))]

    def _verified(self, request: str) -> CommitRecord:
        """The commit of an edit. ValueError if its number of rows is not the number of samples of its shard."""
        record = _read(self.store, request)
        expected = self._samples(str(record.info["inversion"]))
        if sum(record.counts.values()) != expected:
            raise ValueError(
                f"commits/{request}.json counts {dict(record.counts)} for a shard of {expected} samples; "
                "remove this commit, then the next run edits the shard again"
            )
        return record


def _by_edit(manifest: Manifest, published: Mapping[str, PublishedRequest], changes: Changes) -> Iterator[EditChange]:
    """The changes of each edit that has any."""
    by_edit = defaultdict[str, list[str]](list)
    for request in dict.fromkeys((*changes.write, *sorted(changes.remove), *sorted(changes.states))):
        by_edit[changes.edits[request]].append(request)
    files = defaultdict[str, list[str]](list)
    for file in () if manifest.earlier else manifest.files.values():
        files[file.edit].append(file.path)
    for edit, requests in by_edit.items():
        replaced = set() if manifest.earlier else {published[each].file for each in requests if each in published}
        small = [path for path in files[edit] if _is_small(manifest, path)]
        if len(small) > SMALL_FILES:
            replaced.update(small)
        yield EditChange(
            edit=edit,
            write=tuple((each, changes.write[each]) for each in requests if each in changes.write),
            without=frozenset(each for each in requests if each in changes.write or each in changes.remove),
            states=tuple((each, changes.states[each]) for each in requests if each in changes.states),
            files=tuple(sorted(replaced)),
        )


def _is_small(manifest: Manifest, path: str) -> bool:
    file = manifest.files[path]
    return file.rows < FULL_ROWS // 4 and file.size < FULL_BYTES // 4


def _told(publication: Publication, edits: Iterable[EditChange]) -> dict[str, object]:
    """What the history says about the requests of a publish."""
    counts = {name: getattr(publication, name) for name in ("published", "republished", "removed", "marked")}
    return {"requests": counts, "rules": {edit.edit: sorted({text for _, text in edit.write}) for edit in edits}}


def samples_of(store: Store, request: str) -> int:
    """Number of rows of a committed request."""
    return sum(_read(store, request).counts.values())


def _read(store: Store, request: str) -> CommitRecord:
    record = read_commit(store, request)
    if record is None:
        raise ValueError(f"commits/{request}.json was removed during the publish; run the job again")
    return record
