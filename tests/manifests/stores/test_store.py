"""The guarantees of the Store protocol, for every store."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import manifests.stores.s3
from manifests.stores.store import ObjectChanged, Store, Upload, check_key

SPAWN = multiprocessing.get_context("spawn")
BAD_KEYS = ["", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/./b", ".a", "a/.b", "a\\b", "a\nb", "a\0b", "x" * 256]


def test_a_missing_object_is_none_nothing_or_an_error_by_method(store: Store, tmp_path: Path) -> None:
    store.delete("no/such")
    assert store.head("no/such") is None
    assert list(store.list("")) == []
    assert not store.put_if("no/such", b"x", "etag")
    with pytest.raises(FileNotFoundError, match="no/such"):
        store.read("no/such")
    with pytest.raises(FileNotFoundError, match="no/such"):
        store.fetch("no/such", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_put_new_creates_once(store: Store) -> None:
    assert store.put_new("a/b/c.json", b"first")
    assert not store.put_new("a/b/c.json", b"second")
    assert store.read("a/b/c.json") == b"first"


def test_put_if_replaces_only_the_version_that_was_read(store: Store) -> None:
    store.put_new("pointer", b"one")
    seen = store.head("pointer")
    assert seen is not None
    assert store.put_if("pointer", b"two", seen.etag)
    assert not store.put_if("pointer", b"lost update", seen.etag)
    assert store.read("pointer") == b"two"


def test_etags_differ_between_quick_writes_of_equal_length(store: Store) -> None:
    store.put_new("pointer", b"00")
    etags = [store.head("pointer").etag]  # type: ignore[union-attr]
    for count in range(1, 50):
        assert store.put_if("pointer", b"%02d" % count, etags[-1])
        etags.append(store.head("pointer").etag)  # type: ignore[union-attr]
    assert len(set(etags)) == 50


def test_files_are_stored_and_fetched_unchanged(store: Store, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "in").write_bytes(data)
    store.put_file("data/x-1.bin", tmp_path / "in")
    store.fetch("data/x-1.bin", tmp_path / "deep" / "out")
    assert (tmp_path / "deep" / "out").read_bytes() == data
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    info = store.head("data/x-1.bin")
    assert info is not None and info.size == len(data)


def test_only_the_wanted_version_is_fetched(store: Store, tmp_path: Path) -> None:
    store.put_new("pointer", b"one")
    seen = store.head("pointer")
    assert seen is not None
    store.fetch("pointer", tmp_path / "copy", seen.etag)
    assert (tmp_path / "copy").read_bytes() == b"one"
    store.put_if("pointer", b"two", seen.etag)
    with pytest.raises(ObjectChanged, match="written again"):
        store.fetch("pointer", tmp_path / "deep" / "copy", seen.etag)
    assert list((tmp_path / "deep").iterdir()) == []


def test_the_time_of_a_write_is_known(store: Store) -> None:
    before = int(time.time())
    store.put_new("a", b"x")
    info = store.head("a")
    assert info is not None and before <= info.modified <= time.time()


def test_finished_writes_are_no_uploads(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    store.put_file("a", tmp_path / "file")
    store.put_new("b", b"x")
    store.put_if("b", b"y", "another")
    assert list(store.uploads()) == []
    store.abort(Upload("a", "never-begun", 0))


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, None, b"0123456789"), (3, 4, b"3456"), (8, 5, b"89"), (10, 1, b""), (99, None, b""), (4, 0, b"")],
)
def test_reads_take_ranges(store: Store, start: int, length: int | None, expected: bytes) -> None:
    store.put_new("digits", b"0123456789")
    assert store.read("digits", start, length) == expected


def test_negative_ranges_are_refused(store: Store) -> None:
    store.put_new("digits", b"0123456789")
    with pytest.raises(ValueError, match="negative"):
        store.read("digits", -1)
    with pytest.raises(ValueError, match="negative"):
        store.read("digits", 0, -1)


def test_list_is_by_string_prefix_in_key_order(store: Store) -> None:
    keys = ["a-b", "a/b", "a/c/d", "a0", "commits/1.json", "commits/10.json", "commits/2.json", "é/ü", "~"]
    for key in keys:
        store.put_new(key, key.encode())
    assert [info.key for info in store.list("")] == sorted(keys, key=str.encode)
    assert [info.key for info in store.list("commits/1")] == ["commits/1.json", "commits/10.json"]
    assert [info.key for info in store.list("a/")] == ["a/b", "a/c/d"]
    assert [info.key for info in store.list("nothing/")] == []
    assert all(info == store.head(info.key) for info in store.list(""))


@pytest.mark.parametrize("key", BAD_KEYS)
def test_bad_keys_are_refused_by_every_method(store: Store, key: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for verb in (
        lambda: store.head(key),
        lambda: store.read(key),
        lambda: store.fetch(key, tmp_path / "copy"),
        lambda: store.put_file(key, tmp_path / "file"),
        lambda: store.put_new(key, b""),
        lambda: store.put_if(key, b"", "etag"),
        lambda: store.delete(key),
    ):
        with pytest.raises(ValueError, match="a key is a relative path"):
            verb()


@pytest.mark.parametrize("prefix", ["/", "/a", "../", "a/../", "a//"])
def test_bad_prefixes_are_refused(store: Store, prefix: str) -> None:
    with pytest.raises(ValueError, match="a key is a relative path"):
        store.list(prefix)


@pytest.mark.parametrize("key", ["a", "data/edit=red-hair-1a2b/x-0.parquet", "ein Bild (1).jpg", "a..b/c.d"])
def test_plain_names_are_keys(key: str) -> None:
    assert check_key(key) == key


def test_one_of_many_processes_creates_the_object(store: Store) -> None:
    with ProcessPoolExecutor(4, SPAWN) as pool:
        results = list(pool.map(_create_all, [store] * 4, range(4)))
    assert all(sum(each) < 30 for each in results), "no race took place"
    winners = [[who for who in range(4) if results[who][index]] for index in range(30)]
    assert all(len(each) == 1 for each in winners)
    assert [store.read(f"race/{index}") for index in range(30)] == [b"%d" % each[0] * 10_000 for each in winners]


def test_concurrent_increments_are_never_lost(store: Store) -> None:
    store.put_new("counter", b"0")
    with ProcessPoolExecutor(4, SPAWN) as pool:
        refusals = list(pool.map(_increment, [store] * 4, range(4), [25] * 4))
    assert sum(refusals) > 0, "no race took place"
    assert store.read("counter") == b"100"


def test_list_shows_no_unfinished_object(store: Store, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (8 << 20))
    writer = SPAWN.Process(target=_write_many, args=(store, tmp_path / "big", 12))
    writer.start()
    sizes, under_way = set(), set()
    while writer.is_alive():
        under_way.update(upload.id for upload in store.uploads())
        sizes.update(info.size for info in store.list(""))
    writer.join()
    assert writer.exitcode == 0
    assert under_way, "no write was seen under way"
    assert sizes == {8 << 20, 1}


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011])
def test_a_killed_writer_blocks_no_other_and_leaves_no_visible_object(store: Store, delay: float) -> None:
    store.put_new("pointer", b"before")
    child = SPAWN.Process(target=_swap_forever, args=(store,))
    child.start()
    while store.read("pointer") == b"before":
        assert child.is_alive()
    time.sleep(delay)
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    assert [info.key for info in store.list("")] == ["pointer"]
    assert len(store.read("pointer")) == 1 << 20
    seen = store.head("pointer")
    assert seen is not None and store.put_if("pointer", b"after", seen.etag)


def _create_all(store: Store, who: int) -> list[bool]:
    order = random.Random(who).sample(range(30), 30)  # with one common order the first process would win every race
    _start_together(store, who, 4)
    created = {index: store.put_new(f"race/{index}", b"%d" % who * 10_000) for index in order}
    return [created[index] for index in range(30)]


def _increment(store: Store, who: int, times: int) -> int:
    _start_together(store, who, 4)
    done, tries = 0, 0
    while done < times:
        seen = store.head("counter")
        assert seen is not None
        done += store.put_if("counter", b"%d" % (int(store.read("counter")) + 1), seen.etag)
        tries += 1
    return tries - done


def _start_together(store: Store, who: int, count: int) -> None:
    store.put_new(f"ready/{who}", b"")
    while len(list(store.list("ready/"))) < count:
        time.sleep(0.001)


def _write_many(store: Store, path: Path, count: int) -> None:
    manifests.stores.s3.MULTIPART_BYTES = manifests.stores.s3.PART_BYTES = (
        5 << 20
    )  # in this process alone: S3 takes no smaller parts
    for index in range(count):
        store.put_file(f"data/{index}", path)
        store.put_new(f"commits/{index}", b"x")


def _swap_forever(store: Store) -> None:
    while True:
        seen = store.head("pointer")
        assert seen is not None
        store.put_if("pointer", os.urandom(1 << 20), seen.etag)
