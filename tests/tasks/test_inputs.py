from __future__ import annotations

from pathlib import Path

import pytest
from tars import write_shards

from tasks.inputs import ShardChangedError, describe, expand, expand_braces, find_shards, local_copy


def test_braces_expand_as_in_a_shell() -> None:
    assert expand_braces("a{08..10}.tar") == ["a08.tar", "a09.tar", "a10.tar"]
    assert expand_braces("{x,y}{0..1}") == ["x0", "x1", "y0", "y1"]
    assert expand_braces("plain") == ["plain"]


def test_patterns_are_paths_urls_globs_and_ranges(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 3, 1)
    assert expand(str(tmp_path / "in-*.tar")) == paths
    assert expand(str(tmp_path / "in-{000..001}.tar")) == paths[:2]
    assert expand(paths[2].as_uri()) == paths[2:]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("pipe:cat x.tar", "'pipe:' is refused"),
        ("s3://bucket/x.tar", "'s3:' is refused"),
        ("http://host/x.tar", "'http:' is refused"),
        ("nowhere-*.tar", "nothing matches"),
        ("nowhere-{0..3}.tar", "4 of 4"),
        ("x{3..1}", "backwards"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_starts(pattern: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        expand(pattern)


def test_a_shard_is_found_once_and_digested_once(tmp_path: Path) -> None:
    (path,) = write_shards(tmp_path, 1, 1)
    (shard,) = find_shards([str(path), str(tmp_path / "*.tar")], {})
    assert shard == describe(path)
    forged = {shard.uri: type(shard)(uri=shard.uri, size=shard.size, sha256="remembered", stamp=shard.stamp)}
    assert find_shards([str(path)], forged)[0].sha256 == "remembered"
    path.write_bytes(path.read_bytes())
    assert find_shards([str(path)], forged)[0].sha256 == shard.sha256


def test_a_shard_that_changed_is_not_read(tmp_path: Path) -> None:
    first, second = write_shards(tmp_path, 2, 1)
    shard = describe(first)
    first.write_bytes(first.read_bytes())  # touched, not changed
    with local_copy(shard) as path:
        assert path == first
    first.write_bytes(second.read_bytes())
    with pytest.raises(ShardChangedError), local_copy(shard):
        pass
    first.unlink()
    with pytest.raises(ShardChangedError, match="gone"), local_copy(shard):
        pass
