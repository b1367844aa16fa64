"""Shards are found by patterns, identified by their content, and read only if they are as planned."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from manifests.stores.open import open_store
from manifests.stores.s3 import S3Store
from manifests.stores.store import ObjectInfo
from tasks.inputs import bucket_objects
from tasks.inputs.find import describe, expand, find_shards
from tasks.inputs.local_copy import ShardChangedError, local_copy
from tasks.spec.requests import Shard
from tests.emulator import Emulator
from tests.tars import write_shards


@pytest.fixture
def bucket(emulator: Emulator, tmp_path: Path) -> S3Store:
    """A bucket with four tars in two folders, and something else."""
    store = open_store(f"s3://{emulator.bucket()}", emulator.store().options)
    assert isinstance(store, S3Store)
    for number, path in enumerate(write_shards(tmp_path / "local", 4, 1)):
        store.put_file(f"data/{'train' if number < 3 else 'val'}/{path.name}", path)
    store.put_new("data/train/notes.txt", b"x")
    return store


def test_patterns_are_paths_urls_globs_and_ranges(tmp_path: Path) -> None:
    uris = [path.as_uri() for path in write_shards(tmp_path, 3, 1)]
    assert uris_of(expand(str(tmp_path / "in-*.tar"))) == uris
    assert uris_of(expand(str(tmp_path / "in-{000..001}.tar"))) == uris[:2]
    assert uris_of(expand(uris[2])) == uris[2:]
    assert uris_of(expand(f"file://{tmp_path}/in-00?.tar")) == uris


@pytest.mark.parametrize("pattern", ["*", "**", "{in,deep}*", "**/*"])
def test_a_glob_names_files_and_no_folders(tmp_path: Path, pattern: str) -> None:
    write_shards(tmp_path, 1, 1)
    (tmp_path / "deep.tar").mkdir()
    write_shards(tmp_path / "deep.tar", 1, 1)
    deeper = [tmp_path / "deep.tar" / "in-000.tar"] if "**" in pattern else []
    assert uris_of(expand(f"{tmp_path}/{pattern}")) == [path.as_uri() for path in [*deeper, tmp_path / "in-000.tar"]]


def test_a_broken_link_is_an_error(tmp_path: Path) -> None:
    write_shards(tmp_path, 1, 1)
    (tmp_path / "in-001.tar").symlink_to(tmp_path / "gone.tar")
    with pytest.raises(ValueError, match=r"in-001.tar is not there"):
        expand(f"{tmp_path}/*.tar")


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    with pytest.raises(ValueError, match="nothing matches"):
        expand(f"{tmp_path}/*")


def test_patterns_name_objects_as_they_name_files(bucket: S3Store) -> None:
    def names(pattern: str) -> list[str]:
        return [
            uri.removeprefix(f"{bucket.uri}/data/") for uri in uris_of(expand(bucket.uri + pattern, bucket.options))
        ]

    train = [f"train/in-00{number}.tar" for number in range(3)]
    assert names("/data/train/*.tar") == names("/data/train/in-{000..002}.tar") == train
    assert names("/data/{val,train}/in-*.tar") == ["val/in-003.tar", *train]
    assert names("/data/**/in-*.tar") == [*train, "val/in-003.tar"]
    assert names("/data/train/in-00[02].tar") == [train[0], train[2]]
    assert names("/data/val/in-003.tar") == ["val/in-003.tar"]


def test_a_range_in_a_bucket_costs_one_listing_and_reads_nothing(emulator: Emulator, bucket: S3Store) -> None:
    requests = []

    def count(environ, start, app):  # type: ignore[no-untyped-def]
        requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"].count("/"), environ["QUERY_STRING"]))
        return app(environ, start)

    with emulator.disturbed(count):
        shards = find_shards([f"{bucket.uri}/data/train/in-{{000..002}}.tar"], {}, bucket.options)
    assert len(shards) == 3 and all(shard.size and shard.etag and not shard.sha256 for shard in shards)
    ((method, depth, asked),) = requests
    assert (method, depth) == ("GET", 1) and "list-type=2" in asked and "prefix=data%2Ftrain%2Fin-00" in asked


def test_the_keys_of_a_long_range_are_found_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 20,000 names a search takes minutes, a look-up a second."""

    class Listed:
        def list(self, prefix: str) -> list[ObjectInfo]:
            return [ObjectInfo(f"in-{number:05d}.tar", 1, "etag", 0) for number in range(20_000)]

    monkeypatch.setattr(bucket_objects, "open_source", lambda uri, s3: Listed())
    started = time.monotonic()
    found = expand("s3://bucket/in-{00000..19999}.tar")
    assert len(found) == 20_000 and found[-1].uri == "s3://bucket/in-19999.tar"
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("pipe:cat x.tar", "'pipe:' is refused"),
        ("http://host/x.tar", "'http:' is refused"),
        ("gs://bucket/x.tar", "'gs:' is refused"),
        ("ais://bucket/x.tar", "'ais:' is refused"),
        ("s3://bucket/x.tar::s3://bucket/y.tar", "'::' is refused"),
        ("x.tar::pipe:cat y.tar", "'::' is refused"),
        ("{pipe:,}cat x.tar", "'' and 'pipe:' is refused"),
        ("file://host/x.tar", "names an absolute path and no host"),
        ("nowhere-*.tar", "nothing matches"),
        ("nowhere-{0..3}.tar", "4 of 4"),
        ("x{3..1}", "descending"),
        ("s3://bucket", "an object is s3://bucket/key"),
        ("s3://AKIAX:hunter2@bucket/x.tar", "never part of an address"),
    ],
)
def test_invalid_patterns_are_refused_before_anything_starts(pattern: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        expand(pattern)


def test_the_error_names_objects_that_are_not_in_the_bucket(bucket: S3Store) -> None:
    with pytest.raises(ValueError, match=r"in-003.tar is not there \(1 of 4\)"):
        expand(f"{bucket.uri}/data/train/in-{{000..003}}.tar", bucket.options)
    with pytest.raises(ValueError, match="nothing matches"):
        expand(f"{bucket.uri}/data/test/*.tar", bucket.options)
    with pytest.raises(ValueError, match="there is no such bucket"):
        expand("s3://no-such-bucket/x.tar", bucket.options)


def test_a_shard_is_found_once_and_digested_once(tmp_path: Path) -> None:
    (path,) = write_shards(tmp_path, 1, 1)
    (shard,) = find_shards([str(path), str(tmp_path / "*.tar")], {})
    assert shard == describe(path)
    forged = {shard.uri: replace(shard, sha256="remembered")}
    assert find_shards([str(path)], forged)[0].sha256 == "remembered"
    path.write_bytes(path.read_bytes())
    assert find_shards([str(path)], forged)[0].sha256 == shard.sha256


def test_the_options_of_a_bucket_are_part_of_no_id(bucket: S3Store) -> None:
    (shard,) = find_shards([f"{bucket.uri}/data/val/*.tar"], {}, bucket.options)
    assert shard.s3 == bucket.options
    assert shard.id == Shard(uri=shard.uri, size=shard.size, etag=shard.etag).id
    assert shard.id != replace(shard, etag="another").id


def test_a_shard_that_changed_is_not_read(tmp_path: Path) -> None:
    first, second = write_shards(tmp_path, 2, 1)
    shard = describe(first)
    first.write_bytes(first.read_bytes())  # touched, not changed
    for known in (shard, replace(shard, stamp="")):
        with local_copy(known) as path:
            assert path == first
    first.write_bytes(second.read_bytes())
    for known in (shard, replace(shard, stamp="")):
        with pytest.raises(ShardChangedError, match="was changed"), local_copy(known):
            pass
    first.unlink()
    with pytest.raises(ShardChangedError, match="is gone"), local_copy(shard):
        pass


def test_a_shard_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    first, second = write_shards(tmp_path, 2, 1)
    with pytest.raises(ShardChangedError, match="was changed"), local_copy(describe(first)):
        first.write_bytes(second.read_bytes())


def test_an_object_is_a_local_file_of_its_name_while_it_is_read(bucket: S3Store, tmp_path: Path) -> None:
    (shard,) = find_shards([f"{bucket.uri}/data/val/*.tar"], {}, bucket.options)
    with local_copy(shard) as path:
        assert path.name == "in-003.tar"
        assert path.read_bytes() == (tmp_path / "local" / "in-003.tar").read_bytes()
    assert not path.exists()


def test_an_object_that_changed_is_not_read(bucket: S3Store, tmp_path: Path) -> None:
    (shard,) = find_shards([f"{bucket.uri}/data/val/*.tar"], {}, bucket.options)
    bucket.put_file("data/val/in-003.tar", tmp_path / "local" / "in-000.tar")
    with pytest.raises(ShardChangedError, match="was written again"), local_copy(shard):
        pass
    bucket.delete("data/val/in-003.tar")
    with pytest.raises(ShardChangedError, match="is gone"), local_copy(shard):
        pass


def uris_of(shards: Sequence[Shard]) -> list[str]:
    return [shard.uri for shard in shards]
