"""Every file that a path or glob names is a shard that can be read, or is reported, whatever its name is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.inputs.archive import read_samples
from tasks.inputs.find import expand, find_inputs, find_shards
from tasks.inputs.local_copy import local_copy
from tests.tars import write_shards

NAMES = [b"good.tar", b"lat\xe9in.tar", b"new\nline.tar", b"{a,b}.tar", b"[x].tar", "ü %41#?.tar".encode()]


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    """A folder with equal tars of these names; its own name is a glob, too."""
    (path,) = write_shards(tmp_path, 1, 1)
    folder = tmp_path / "[f]"
    folder.mkdir()
    for name in NAMES:
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(path.read_bytes())  # noqa: PTH118
    return folder


def names_of(shards: object) -> set[bytes]:
    found = set()
    for shard in shards:  # type: ignore[attr-defined]
        with local_copy(shard) as path:
            assert [sample.status for sample in read_samples(path)] == ["ok"]
            found.add(os.fsencode(path.name))
    return found


def test_files_of_any_name_are_read(untidy: Path) -> None:
    assert names_of(find_shards([f"{untidy.parent}/[[]f]/*.tar"], {})) == set(NAMES)


def test_the_uri_of_a_shard_names_that_shard(untidy: Path) -> None:
    (untidy / "x.tar").write_bytes(b"")  # which the glob [x].tar matches
    for shard in find_shards([f"{untidy.parent}/[[]f]/*.tar"], {}):
        assert find_shards([shard.uri], {}) == (shard,)


def test_a_broken_tar_of_any_name_has_a_row(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/lat\xe9in.tar"))
    path.write_bytes(b"no tar")
    (sample,) = read_samples(path)
    assert (sample.key, sample.status) == ("lat\ufffdin.tar", "undecodable")


def test_characters_that_the_user_did_not_write_are_no_wildcards(untidy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(untidy)
    monkeypatch.setenv("HOME", str(untidy))
    assert len(find_shards(["*.tar"], {})) == len(find_shards(["~/*.tar"], {})) == len(NAMES)


def test_a_broken_link_of_any_name_is_reported(tmp_path: Path) -> None:
    link = Path(os.fsdecode(os.fsencode(tmp_path) + b"/lat\xe9in.tar"))
    link.symlink_to("gone")
    with pytest.raises(ValueError, match=r"/lat\\xe9in\.tar is not there") as told:
        expand(f"{tmp_path}/*.tar")
    str(told.value).encode()


def test_skipped_hidden_files_are_reported(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / ".hidden"):
        write_shards(folder, 1, 1)
    inputs = find_inputs([f"{tmp_path}/**"], {})
    assert [shard.uri for shard in inputs.shards] == [(tmp_path / "in-000.tar").as_uri()]
    (told,) = inputs.passed_over
    assert f"/**' passes over the hidden file {tmp_path}/.hidden/in-000.tar: a glob matches no part" in told
    written = find_inputs([f"{tmp_path}/.hidden/*", f"{tmp_path}/*.tar"], {})
    assert (len(written.shards), written.passed_over) == (2, ())


@pytest.mark.parametrize("written", ["data", "data/", "da{t,}a"])
def test_the_error_for_a_folder_says_so(tmp_path: Path, written: str) -> None:
    write_shards(tmp_path / "data", 1, 1)
    with pytest.raises(ValueError, match=rf"{tmp_path}/data is a folder, and no tar .*as {tmp_path}/data/\*\.tar$"):
        expand(f"{tmp_path}/{written}")


def test_the_error_for_a_pipe_says_that_it_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(ValueError, match=r"pipe\.tar is neither a file nor a folder"):
        expand(f"{tmp_path}/*.tar")


def test_the_error_shows_variables_unchanged() -> None:
    with pytest.raises(ValueError, match=r"/\$\{HOME\}/x\.tar is not there .*variables such as \$\{HOME\} are not exp"):
        expand("${HOME}/x.tar")


def test_the_error_for_a_character_set_that_matches_nothing_explains_brackets(untidy: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing matches; \[ and \] are a set .*write \[\[\]x\] for the name \[x\]"):
        expand(f"{untidy}/*.tar")
