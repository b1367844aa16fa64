"""Text members of a sample are read; all other members are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.inputs.find import describe
from tasks.inputs.local_copy import ShardChangedError
from tasks.inputs.text_members import open_text_members
from tests.tars import image_bytes, write_tar


def test_text_is_found_and_nothing_else(tmp_path: Path) -> None:
    members = [
        ("d/a.png", image_bytes(1)),
        ("d/a.json", b"{}"),
        ("d/a.TXT", "grün".encode()),
        ("d/a.cls", b"3"),
        ("d/a.seg.png", image_bytes(2)),
        ("d/a.npy", b"\x93NUMPY\0\1"),
        ("d/a.pyd", b"\x80\x04."),
        ("b.png", image_bytes(3)),
    ]
    shard = describe(write_tar(tmp_path / "in.tar", members))
    with open_text_members(replace(shard, stamp="")) as found:
        assert found.of("d/a") == {"txt": "grün".encode(), "cls": b"3"}
        assert found.of("b") == {}
        with pytest.raises(KeyError):
            found.of("c")


def test_a_tar_with_another_digest_is_refused(tmp_path: Path) -> None:
    shard = describe(write_tar(tmp_path / "in.tar", [("a.png", image_bytes(1))]))
    for stamp in ("", shard.stamp):
        other = replace(shard, sha256="0" * 64, stamp=stamp and "another")
        with pytest.raises(ShardChangedError, match=r"in\.tar"), open_text_members(other):
            pass
