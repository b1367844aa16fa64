"""Old objects that no record names are found and removed; objects that a reader or a run may need stay."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.query import query
from manifests.stores.local import STAGING
from manifests.stores.open import open_store
from manifests.stores.store import Store, Upload
from manifests.table import open_manifest
from tasks.publish.gc import find_leftovers, remove
from tasks.publish.publish import publish_edits
from tasks.spec.gates import Gates
from tasks.spec.publish_rules import PublishRules
from tests.commits import commit_all, small_plan
from tests.emulator import Emulator
from tests.published import publish_rows
from tests.wrapped import Wrapped

ID = "ab" * 32
LATER = 3600 * 25.0
"""Seconds after which all objects are old."""


def finished(store: Store) -> Store:
    """An output with a plan and without any commit."""
    store.put_new("plans/p.json", b"{}")
    return store


def leftovers_of(store: Store, hours: float = 24.0) -> list[str]:
    return [info.key for info in find_leftovers(store, hours, time.time() + LATER).objects]


ORPHANS = [
    f"data/edit=red-0123abcd/{ID}-0123456789ab-0000.parquet",
    f"inversions/{ID[:16]}/{ID[:16]}-0123456789ab-0000.parquet",
    f"manifest/edit=red-0123abcd/{ID[:32]}.parquet",
    f"manifest/part-{ID[:16]}-0123456789ab.parquet",
    f"preflight-{ID[:32]}",
    f"rows/{ID}-0123456789ab-0000.parquet",
]


def test_orphans_of_every_kind_are_found_and_removed(store: Store) -> None:
    for key in ORPHANS:
        finished(store).put_new(key, b"12345")
    found = find_leftovers(store, 24.0, time.time() + LATER)
    assert sorted(info.key for info in found.objects) == ORPHANS and found.size == 30
    remove(store, found)
    remove(store, found)
    assert [info.key for info in store.list("")] == ["plans/p.json"]


def test_what_is_young_or_not_ours_stays(store: Store) -> None:
    for key in (*ORPHANS, "data/notes.txt", "reports/r/index.html", f"editors/{ID}.safetensors", f"rows/{ID}.parquet"):
        finished(store).put_new(key, b"x")
    assert find_leftovers(store, 24.0).objects == ()
    assert sorted(leftovers_of(store)) == ORPHANS
    assert leftovers_of(store, hours=26.0) == []


def test_replaced_files_of_the_manifest_stay_for_its_readers(store: Store, tmp_path: Path) -> None:
    """Files that were written long ago, and replaced a moment ago."""
    rows = [{"key": "k", "request_id": "r1"}]
    finished(store)
    first = publish_rows(store, tmp_path, rows)
    second = publish_rows(store, tmp_path, rows)
    now, day = time.time(), 86400
    assert find_leftovers(store, 24.0, now + 6.9 * day).objects == ()
    assert query(store, "SELECT key FROM manifest", first).num_rows == 1
    replaced = [f"manifest/{path}" for path in first.files]
    assert [info.key for info in find_leftovers(store, 24.0, now + 7.1 * day).objects] == replaced
    assert [info.key for info in find_leftovers(store, 24.0, now + 2 * day, history_days=1).objects] == replaced
    remove(store, find_leftovers(store, 24.0, now + 7.1 * day))
    assert query(store, "SELECT key FROM manifest").num_rows == 1 and second.version == 2
    with pytest.raises(ValueError, match="tells of 30 days only"):
        find_leftovers(store, 24.0, history_days=31)


def test_a_finished_run_has_no_leftovers_and_loses_nothing(
    make_job: Callable[..., Any], run_job: Callable[..., Any], tmp_path: Path
) -> None:
    from tests.tars import write_shards

    write_shards(tmp_path, 1, 3)
    plan, _ = run_job(make_job())
    store = open_store(plan.output)
    before = [info.key for info in store.list("")]
    assert leftovers_of(store) == []
    orphan = store.list("rows/").__next__().key.replace(".parquet", "").rpartition("-")[0][:-12] + "0" * 12
    store.put_new(f"{orphan}-0000.parquet", b"x")
    remove(store, find_leftovers(store, 24.0, time.time() + LATER))
    assert [info.key for info in store.list("")] == before
    assert query(store, "SELECT count(*) AS n FROM manifest").to_pylist() == [{"n": 6}]


def test_a_publisher_who_was_too_late_leaves_no_file(tmp_path: Path) -> None:
    class Late(Wrapped):
        """Another process publishes the same requests right after this file was uploaded."""

        def put_file(self, key: str, path: Path) -> None:
            store.put_file(key, path)
            publish_edits(store, changed, done)

    plan = small_plan(tmp_path)
    done, store = commit_all(plan), finished(open_store(plan.output))
    publish_edits(store, plan, done)
    replaced = set(open_manifest(store).files)
    changed = replace(plan, publish={edit.slug: PublishRules(gates=Gates(min_direction=0.9)) for edit in plan.edits})
    publication = publish_edits(Late(store), changed, done)  # type: ignore[arg-type]
    assert publication.published == publication.republished == 0
    named = {f"manifest/{path}" for path in replaced | open_manifest(store).files.keys()}
    assert {info.key for info in store.list("manifest/edit=")} == named


def test_a_damaged_commit_stops_it(store: Store) -> None:
    for key in ORPHANS:
        finished(store).put_new(key, b"x")
    store.put_new(f"commits/{ID}.json", b"half a rec")
    with pytest.raises(ValueError, match="not a commit record"):
        leftovers_of(store)


def test_stale_uploads_are_aborted(store: Store) -> None:
    class Uploading:
        aborted: list[Upload] = []  # noqa: RUF012

        def uploads(self) -> list[Upload]:
            old, young = int(time.time() - LATER), int(time.time())
            return [Upload(ORPHANS[0], "old", old), Upload(ORPHANS[1], "young", young)]

        def abort(self, upload: Upload) -> None:
            self.aborted.append(upload)

        def __getattr__(self, name: str) -> Any:
            return getattr(finished(store), name)

    uploading = Uploading()
    found = find_leftovers(uploading, 24.0)  # type: ignore[arg-type]
    assert [upload.id for upload in found.uploads] == ["old"]
    remove(uploading, found)  # type: ignore[arg-type]
    assert [upload.id for upload in uploading.aborted] == ["old"]


def test_uploads_of_others_below_the_prefix_stay(emulator: Emulator) -> None:
    """Like an export into a folder of the output."""
    bucket = emulator.store()
    for key in (*ORPHANS, "export/coral-000000.tar", "data/notes.txt"):
        emulator.client.create_multipart_upload(Bucket=bucket.bucket, Key=f"some/prefix/{key}")
    remove(bucket, find_leftovers(finished(bucket), 24.0))  # the emulator reports that every upload is old
    assert {upload.key for upload in bucket.uploads()} == {"data/notes.txt", "export/coral-000000.tar"}


def test_bytes_that_a_killed_process_had_staged_are_removed(tmp_path: Path) -> None:
    output = finished(open_store(tmp_path))
    staged = tmp_path / STAGING / "half"
    staged.write_bytes(b"half")
    remove(output, find_leftovers(output, 24.0))
    assert staged.exists()
    remove(output, find_leftovers(output, 24.0, time.time() + LATER))
    assert not staged.exists()


def test_elsewhere_nothing_is_touched(store: Store) -> None:
    store.put_new(ORPHANS[0], b"x")
    with pytest.raises(ValueError, match="no run was ever planned there"):
        find_leftovers(store, 24.0, time.time() + LATER)
