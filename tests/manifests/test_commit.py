"""The first commit of a request wins and is complete, whichever process is killed and at whatever step."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import manifests.commit
from manifests.commit import PAUSES, CommitRecord, CommitUnknown, ObjectRef, commit, committed, read_commit
from manifests.stores.s3 import S3Store
from manifests.stores.store import Store
from tests.emulator import Emulator
from tests.manifests.disturbances import Recorder, error
from tests.wrapped import Wrapped

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests.commit, "PAUSES", [0.0] * len(PAUSES))


def test_a_commit_makes_its_objects_visible(store: Store, tmp_path: Path) -> None:
    assert committed(store) == set() and read_commit(store, "r1") is None
    record, files = attempt(tmp_path, "r1", "a1")
    assert commit(store, record, files) == record == read_commit(store, "r1")
    assert committed(store) == {"r1"}
    assert_whole(store, "r1")


def test_the_second_attempt_gets_the_first_record_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    first = commit(store, *attempt(tmp_path, "r1", "a1"))
    assert commit(store, *attempt(tmp_path, "r1", "a2")) == first
    assert_whole(store, "r1")


def test_the_loser_of_a_race_deletes_its_own_objects(store: Store, tmp_path: Path) -> None:
    class Slow(Wrapped):
        def put_file(self, key: str, path: Path) -> None:
            store.put_file(key, path)
            commit(store, *attempt(tmp_path, "r1", "fast"))

    assert commit(Slow(store), *attempt(tmp_path, "r1", "slow")).attempt == "fast"
    assert_whole(store, "r1")


def test_committing_the_same_record_again_keeps_its_objects(store: Store, tmp_path: Path) -> None:
    record, files = attempt(tmp_path, "r1", "a1")
    assert commit(store, record, files) == commit(store, record, files) == record
    assert_whole(store, "r1")


def test_one_of_many_processes_commits(store: Store, tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, SPAWN) as pool:
        winners = list(pool.map(_commit_all, [store] * 4, [tmp_path] * 4, range(4)))
    assert winners[0] == winners[1] == winners[2] == winners[3]
    for index in range(10):
        assert_whole(store, f"r{index}", others=True)
    kept = {ref.key for record in winners[0] for ref in record.objects}
    assert {info.key for info in store.list("")} == {*kept, *(f"commits/r{index}.json" for index in range(10))}


@pytest.mark.parametrize(
    ("verb", "after", "visible"),
    [("put_file", False, 0), ("put_file", True, 0), ("put_new", False, 0), ("put_new", True, 1)],
)
def test_a_kill_at_any_step_leaves_a_complete_commit_or_none(
    store: Store, tmp_path: Path, verb: str, after: bool, visible: int
) -> None:
    child = SPAWN.Process(target=_commit_and_die, args=(store, tmp_path, verb, after))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(committed(store)) == visible
    winner = commit(store, *attempt(tmp_path, "r1", "again"))
    assert winner.attempt == ("victim" if visible else "again")
    assert_whole(store, "r1", others=True)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("happened", [True, False])
@pytest.mark.parametrize("lost", [1, len(PAUSES) - 1, len(PAUSES)])
def test_a_record_whose_answer_is_lost_is_put_again(store: Store, tmp_path: Path, lost: int, happened: bool) -> None:
    class Flaky(Wrapped):
        puts = 0

        def put_new(self, key: str, data: bytes) -> bool:
            self.puts += 1
            if self.puts > lost:
                return store.put_new(key, data)
            if happened:
                store.put_new(key, data)
            raise CommitUnknown("timeout after send")

    record, files = attempt(tmp_path, "r1", "a1")
    if lost == len(PAUSES) and not happened:
        with pytest.raises(CommitUnknown, match="commit the same record again"):
            commit(Flaky(store), record, files)
        assert {info.key for info in store.list("")} == files.keys()
        assert commit(store, record, files) == record
    else:
        assert commit(Flaky(store), record, files) == record
    assert_whole(store, "r1")


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("first", ["a1", "a2"])
def test_a_delayed_write_makes_the_store_refuse_the_second_and_is_returned(
    store: Store, tmp_path: Path, first: str
) -> None:
    """Both for our own write and for that of another attempt."""

    class Slow(Wrapped):
        puts = 0

        def put_new(self, key: str, data: bytes) -> bool:
            self.puts += 1
            if self.puts == 1:
                raise CommitUnknown("timeout after send")
            commit(store, *attempt(tmp_path, "r1", first))
            return store.put_new(key, data)

    assert commit(Slow(store), *attempt(tmp_path, "r1", "a1")).attempt == first
    assert_whole(store, "r1")


@pytest.mark.usefixtures("no_pauses")
def test_a_service_that_is_overloaded_for_a_short_time_gets_the_record(emulator: Emulator, bucket: S3Store) -> None:
    record = CommitRecord("r1", "edit", "a1", (), {})
    overloaded = error("503 Service Unavailable", "ServiceUnavailable")
    with emulator.disturbed(recorder := Recorder("PUT", *[overloaded] * (len(PAUSES) - 1))):
        assert commit(bucket, record, {}) == record == read_commit(bucket, "r1")
    assert recorder.headers("IF_NONE_MATCH") == ["*"] * len(PAUSES)


def test_a_request_may_have_no_objects(store: Store) -> None:
    record = CommitRecord("r1", "edit", "a1", (), {}, {"read": 0.5}, {"shard": {"uri": "x.tar"}})
    assert commit(store, record, {}) == record == read_commit(store, "r1")


def test_a_record_that_differs_from_its_files_is_refused(store: Store, tmp_path: Path) -> None:
    record, files = attempt(tmp_path, "r1", "a1")
    with pytest.raises(ValueError, match="names the objects"):
        commit(store, record, {})
    other, other_files = attempt(tmp_path, "r1", "a2")
    with pytest.raises(ValueError, match="must have the attempt 'a2'"):
        commit(store, CommitRecord("r1", "edit", "a2", record.objects, {}), files)
    next(iter(other_files.values())).write_bytes(b"truncated")
    with pytest.raises(ValueError, match="9 bytes, the record says"):
        commit(store, other, other_files)
    with pytest.raises(ValueError, match="slash"):
        read_commit(store, "a/b")
    assert list(store.list("")) == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"objects": [], "surprise": 1}', b"\xff"])
def test_a_damaged_record_is_an_error(store: Store, data: bytes) -> None:
    store.put_new("commits/r1.json", data)
    with pytest.raises(ValueError, match="not a commit record"):
        read_commit(store, "r1")


def attempt(folder: Path, request_id: str, name: str) -> tuple[CommitRecord, dict[str, Path]]:
    """A record and its two files, whose bytes depend on the attempt."""
    files = {
        f"data/edit=e/{request_id}-{name}-0.parquet": folder / f"{request_id}-{name}-data",
        f"rows/{request_id}-{name}.parquet": folder / f"{request_id}-{name}-rows",
    }
    refs = []
    for key, path in files.items():
        data = key.encode() * 100
        path.write_bytes(data)
        refs.append(ObjectRef(key, len(data), hashlib.sha256(data).hexdigest(), 3, (2, 1)))
    return CommitRecord(request_id, "edit", name, tuple(refs), {"ok": 2, "failed": 1}, {"edit": 1.5}), files


def assert_whole(store: Store, request_id: str, others: bool = False) -> None:
    """Each object of the commit exists as recorded, and unless `others` is true, no other object does."""
    record = read_commit(store, request_id)
    assert record is not None
    for ref in record.objects:
        assert hashlib.sha256(store.read(ref.key)).hexdigest() == ref.sha256
    if not others:
        expected = {f"commits/{request_id}.json", *(ref.key for ref in record.objects)}
        assert {info.key for info in store.list("")} == expected


def _commit_all(store: Store, folder: Path, who: int) -> list[CommitRecord]:
    return [commit(store, *attempt(folder, f"r{index}", f"a{who}")) for index in range(10)]


def _commit_and_die(store: Store, folder: Path, verb: str, after: bool) -> None:
    class Dying(Wrapped):
        def __getattr__(self, name: str) -> Any:
            return self.die if name == verb else getattr(store, name)

        def die(self, *given: Any) -> None:
            if after:
                getattr(store, verb)(*given)
            os.kill(os.getpid(), signal.SIGKILL)

    commit(Dying(store), *attempt(folder, "r1", "victim"))
