"""Guarantees of a local directory that a bucket does not give."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import manifests.stores.local
from manifests.stores.local import STAGING
from manifests.stores.open import open_store
from manifests.stores.store import Store
from manifests.stores.temporary import STALE_SECONDS


def test_opening_and_reading_write_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "out")
    assert list(store.list("commits/")) == []
    assert store.head("a") is None
    assert not (tmp_path / "out").exists()


def test_hidden_files_are_not_objects(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put_new("a/b", b"x")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
    assert [info.key for info in store.list("")] == ["a/b"]


def test_a_folder_is_not_an_object(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put_new("a/b", b"x")
    assert store.head("a") is None
    store.delete("a")
    with pytest.raises(FileNotFoundError):
        store.read("a")
    with pytest.raises(OSError):
        store.put_new("a", b"x")
    with pytest.raises(OSError):
        store.put_new("a/b/c", b"x")
    assert store.read("a/b") == b"x"


def test_nothing_stays_staged(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put_new("a", b"x")
    store.put_new("a", b"y")
    store.put_if("a", b"y", "wrong")
    with pytest.raises(FileNotFoundError):
        store.put_file("b", tmp_path / "missing")
    assert [path.name for path in (tmp_path / STAGING).iterdir()] == ["lock"]


def test_files_of_killed_processes_are_removed_after_a_day(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put_new("a", b"x")
    for name, age in {"old": STALE_SECONDS + 60, "young": 60.0}.items():
        (tmp_path / STAGING / name).write_bytes(b"half")
        os.utime(tmp_path / STAGING / name, times=(time.time() - age,) * 2)
    store.put_new("b", b"x")
    assert [path.name for path in (tmp_path / STAGING).iterdir()] == ["young"]


def test_staged_bytes_are_an_upload_that_can_be_aborted(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put_new("a", b"x")
    (tmp_path / STAGING / "half").write_bytes(b"half")
    os.utime(tmp_path / STAGING / "half", times=(1000.0, 1000.0))
    (upload,) = store.uploads()
    assert upload.started == 1000
    store.abort(upload)
    assert list(store.uploads()) == [] and store.read("a") == b"x"


def test_etags_differ_while_the_clock_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    store.put_new("pointer", b"x")
    monkeypatch.setattr(manifests.stores.local.time, "time_ns", lambda: 10**18)
    etags = {etag_of(store)}
    for _ in range(20):
        assert store.put_if("pointer", b"y", etag_of(store))
        etags.add(etag_of(store))
    assert len(etags) == 21


def test_no_write_happens_between_the_check_and_the_swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_clock() -> int:
        time.sleep(0.002)  # the clock is read between the check and the swap
        return real_clock()

    store, real_clock = open_store(tmp_path), time.time_ns
    store.put_new("counter", b"0")
    monkeypatch.setattr(manifests.stores.local.time, "time_ns", slow_clock)

    def increment(times: int) -> None:
        while times:
            etag = etag_of(store)
            times -= store.put_if("counter", b"%d" % (int(store.read("counter")) + 1), etag)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, [10] * 4))
    assert store.read("counter") == b"40"


def etag_of(store: Store) -> str:
    info = store.head("pointer") or store.head("counter")
    assert info is not None
    return info.etag
