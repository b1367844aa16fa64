"""Every object that a pattern matches is a shard that can be read, or is reported, whatever its key is."""

from __future__ import annotations

import pytest

from manifests.stores.s3_options import S3Options
from tasks.inputs.find import find_inputs, find_shards
from tasks.inputs.listing import printable
from tasks.inputs.local_copy import local_copy
from tests.emulator import Emulator
from tests.tars import write_shards

UNTIDY = [
    "/first.tar",
    "keys//leading.tar",
    "keys/[x].tar",
    "keys/a\x01.tar",
    "keys/day//double.tar",
    "keys/folder/",  # not empty, so not a folder
    "keys/nb\xa0space.tar",
    "keys/plain.tar",
    "keys/q?x=#%41+ .tar",
    "keys/win\\back.tar",
    f"keys/{'x' * 300}.tar",  # no file can have such a name
    "keys/ü\u2028.tar",
]
HIDDEN = ["keys/.hidden/x.tar", "keys/.x.tar", "keys/..", "keys/."]
Bucket = tuple[str, S3Options]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    (path,) = write_shards(tmp_path_factory.mktemp("tar"), 1, 1)
    return path.read_bytes()


@pytest.fixture(scope="module")
def bucket(emulator: Emulator, data: bytes) -> Bucket:
    """Equal tars under all these keys, and the empty object that a console creates for a folder."""
    name = emulator.bucket()
    for key in (*UNTIDY, *HIDDEN):
        emulator.client.put_object(Bucket=name, Key=key, Body=data)
    emulator.client.put_object(Bucket=name, Key="keys/empty/", Body=b"")
    return f"s3://{name}", emulator.store().options


def test_all_matches_of_a_glob_are_shards_or_reported_as_hidden(bucket: Bucket) -> None:
    uri, options = bucket
    inputs = find_inputs([f"{uri}/**"], {}, options)
    assert [shard.uri.removeprefix(f"{uri}/") for shard in inputs.shards] == sorted(UNTIDY, key=str.encode)
    (told,) = inputs.passed_over
    first = printable(min(f"{uri}/{key}" for key in HIDDEN))
    assert f"/**' passes over {len(HIDDEN)} hidden files, {first} first: a glob matches no part of a name that" in told


def test_every_shard_can_be_read(bucket: Bucket, data: bytes) -> None:
    uri, options = bucket
    for shard in find_shards([f"{uri}/**", f"{uri}/keys/.hidden/*", f"{uri}/keys/.."], {}, options):
        with local_copy(shard) as path:
            assert path.read_bytes() == data


@pytest.mark.parametrize("key", [*UNTIDY, *HIDDEN])
def test_an_object_is_found_by_its_key(bucket: Bucket, key: str) -> None:
    uri, options = bucket
    assert f"{uri}/{key}" in [shard.uri for shard in find_shards([f"{uri}/{key}"], {}, options)]


@pytest.mark.parametrize(("glob", "found"), [("keys/.hidden/*", HIDDEN[0]), ("keys/.x*", HIDDEN[1])])
def test_a_glob_with_the_dot_matches_hidden_keys(bucket: Bucket, glob: str, found: str) -> None:
    uri, options = bucket
    inputs = find_inputs([f"{uri}/{glob}"], {}, options)
    assert ([shard.uri for shard in inputs.shards], inputs.passed_over) == ([f"{uri}/{found}"], ())


@pytest.mark.parametrize("written", ["keys", "keys/day", "keys/empty/"])
def test_the_error_for_a_folder_says_so(bucket: Bucket, written: str) -> None:
    uri, options = bucket
    says = rf"/{written} is a folder, and no tar \(1 of 1\); give the .* as {uri}/{written.rstrip('/')}/\*\.tar$"
    with pytest.raises(ValueError, match=says):
        find_shards([f"{uri}/{written}"], {}, options)


def test_a_glob_that_matches_hidden_keys_only_says_so(bucket: Bucket) -> None:
    uri, options = bucket
    with pytest.raises(ValueError, match=r"nothing matches; it passes over the hidden file .*/keys/\.hidden/x\.tar:"):
        find_shards([f"{uri}/keys/*/x.tar"], {}, options)
