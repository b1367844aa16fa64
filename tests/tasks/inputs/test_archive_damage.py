"""Archives that are cut, damaged or not a tar: which samples are read, and which rows report the damage."""

from __future__ import annotations

import errno
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.inputs.archive import count_samples, read_samples
from tests.tars import image_bytes, members_of, statuses_of, write_tar


def whole_tar(tmp_path: Path) -> tuple[Path, bytes]:
    path = write_tar(tmp_path / "in.tar", [*members_of(1, "a"), *members_of(2, "b")])
    return path, path.read_bytes()


def test_a_tar_cut_between_two_members_is_noticed(tmp_path: Path) -> None:
    path, data = whole_tar(tmp_path)
    with tarfile.open(path) as tar:
        end = tar.getmember("b.png").offset_data + 512 * -(-tar.getmember("b.png").size // 512)
    path.write_bytes(data[:end])
    assert statuses_of(path) == [("a", "ok"), ("b", "incomplete")]


@pytest.mark.parametrize("member", ["b.png", "b.json"])
def test_a_tar_cut_inside_a_member_is_noticed(tmp_path: Path, member: str) -> None:
    path, data = whole_tar(tmp_path)
    with tarfile.open(path) as tar:
        cut = tar.getmember(member).offset_data + 10
    path.write_bytes(data[:cut])
    assert statuses_of(path) == [("a", "ok"), ("b", "incomplete")]


def test_a_caption_that_is_cut_is_not_used(tmp_path: Path) -> None:
    said = ("a.txt", b"a person who is NOT smiling")
    path = write_tar(
        tmp_path / "in.tar", [("a.png", image_bytes(1)), ("b.png", image_bytes(2)), ("b.txt", b"a smile"), said]
    )
    path.write_bytes(path.read_bytes().partition(b" who is NOT")[0])
    first, second = read_samples(path)
    assert first.status == "incomplete" and "caption" not in json.loads(first.metadata)
    assert (second.status, json.loads(second.metadata)) == ("ok", {"caption": "a smile"})


def test_samples_whose_labels_were_after_the_cut_are_incomplete(tmp_path: Path) -> None:
    names = [f"{key}.{suffix}" for suffix in ("png", "json") for key in "abc"]
    members = [(name, image_bytes(1) if name.endswith("png") else b'{"label": 1}') for name in names]
    path = write_tar(tmp_path / "in.tar", members)
    with tarfile.open(path) as tar:
        cut = tar.getmember("c.json").offset
    path.write_bytes(path.read_bytes()[:cut])
    assert statuses_of(path) == [("a", "ok"), ("b", "incomplete"), ("c", "incomplete")]
    assert list(read_samples(path))[2].reason.endswith("lacks json")


def fail_after(monkeypatch: pytest.MonkeyPatch, good: int) -> None:
    """Every read of any file fails after the first `good` reads."""
    left = iter(range(good))

    class Disk(io.FileIO):
        def readinto(self, buffer: Any, /) -> int | None:
            if next(left, None) is None:
                raise OSError(errno.EIO, "Input/output error")
            return super().readinto(buffer)

    def opened(path: Path, mode: str, buffering: int = -1) -> Any:
        return Disk(str(path)) if buffering == 0 else io.BufferedReader(Disk(str(path)))

    monkeypatch.setattr(Path, "open", opened)


@pytest.mark.parametrize("read", [count_samples, lambda path: list(read_samples(path))], ids=["count", "read"])
@pytest.mark.parametrize("cut", [0, 700], ids=["whole", "cut"])
def test_an_error_of_the_disk_is_not_reported_as_damage_of_the_tar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], cut: int
) -> None:
    path, data = whole_tar(tmp_path)
    path.write_bytes(data[: len(data.rstrip(b"\0")) - cut] if cut else data)
    expected, failures = read(path), 0
    for good in range(100):
        fail_after(monkeypatch, good)
        try:
            found = read(path)
        except OSError as error:
            assert error.errno == errno.EIO
            failures += 1
        else:
            break
    assert found == expected and failures == good > 3


def test_a_damaged_header_loses_nothing_silently(tmp_path: Path) -> None:
    path, data = whole_tar(tmp_path)
    with tarfile.open(path) as tar:
        header = tar.getmember("b.json").offset
    path.write_bytes(data[:header] + b"\xff" * 512 + data[header + 512 :])
    assert statuses_of(path) == [("a", "ok"), ("b", "incomplete"), ("in.tar@end", "undecodable")]


def test_concatenated_tars_are_noticed_and_the_first_is_whole(tmp_path: Path) -> None:
    path, data = whole_tar(tmp_path)
    path.write_bytes(data + data)
    assert statuses_of(path) == [("a", "ok"), ("b", "ok"), ("in.tar@end", "undecodable")]


def test_a_tar_without_some_of_its_last_zeros_is_complete(tmp_path: Path) -> None:
    path, data = whole_tar(tmp_path)
    end = len(data.rstrip(b"\0"))
    for size in (-(-end // 512) * 512 + 512, -(-end // 512) * 512 + 700, len(data) + 1):
        path.write_bytes(data.ljust(size, b"\0")[:size])
        assert statuses_of(path) == [("a", "ok"), ("b", "ok")]
    path.write_bytes(data[: -(-end // 512) * 512])
    assert statuses_of(path) == [("a", "ok"), ("b", "incomplete")]


@pytest.mark.parametrize("data", [b"", b"no tar at all", bytes(range(256)) * 8])
def test_a_file_that_is_not_a_tar_is_one_row(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "in.tar"
    path.write_bytes(data)
    assert statuses_of(path) == [("in.tar", "undecodable")]


@pytest.mark.parametrize(("magic", "name"), [(b"\x1f\x8b", "gzip"), (b"PK\x03\x04", "zip"), (b"\xfd7zXZ\0", "xz")])
def test_the_reason_for_a_compressed_tar_names_its_format(tmp_path: Path, magic: bytes, name: str) -> None:
    path = tmp_path / "in.tar"
    path.write_bytes(magic + bytes(2000))
    (row,) = read_samples(path)
    assert row.status == "undecodable" and f"is {name} and no plain tar" in row.reason


def test_a_good_tar_may_begin_like_another_format(tmp_path: Path) -> None:
    assert statuses_of(write_tar(tmp_path / "in.tar", members_of(1, "BZhang"))) == [("BZhang", "ok")]


def test_a_huge_header_uses_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "in.tar"
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**24
    path.write_bytes(header.tobuf() + b"x" * 2**24 + bytes(1024))
    (row,) = read_samples(path)
    assert row.status == "undecodable" and "a header claims to have" in row.reason


def test_an_empty_tar_has_no_samples(tmp_path: Path) -> None:
    assert statuses_of(write_tar(tmp_path / "in.tar", [])) == []
