"""An unfinished copy is continued by one process at a time, and only if it is of the same version."""

from __future__ import annotations

import os
import time
from pathlib import Path

from manifests.stores.resumable_file import open_partial_file
from manifests.stores.temporary import STALE_SECONDS


def test_a_partial_copy_is_continued(tmp_path: Path) -> None:
    with open_partial_file(tmp_path / "deep" / "x", "v1") as spool:
        spool.write(b"01234")
    with open_partial_file(tmp_path / "deep" / "x", "v1") as spool:
        assert spool.tell() == 5
        spool.write(b"56789")
    (left,) = (tmp_path / "deep").iterdir()
    assert left.read_bytes() == b"0123456789" and left.name.startswith(".")


def test_other_versions_and_folders_start_at_zero(tmp_path: Path) -> None:
    with open_partial_file(tmp_path / "x", "v1") as spool:
        spool.write(b"01234")
    for place, version in [("x", "v2"), ("deep/x", "v1")]:
        with open_partial_file(tmp_path / place, version) as spool:
            assert spool.tell() == 0
    with open_partial_file(tmp_path / "y", "v1") as spool:
        assert spool.tell() == 5


def test_a_copy_that_is_in_use_is_not_shared(tmp_path: Path) -> None:
    with open_partial_file(tmp_path / "x", "v1") as first, open_partial_file(tmp_path / "x", "v1") as second:
        assert first.name != second.name
        first.write(b"first")
        second.write(b"second")
    with open_partial_file(tmp_path / "x", "v1") as third:
        assert third.name == first.name and third.tell() == 5


def test_a_finished_copy_is_not_overwritten_while_it_is_read(tmp_path: Path) -> None:
    with open_partial_file(tmp_path / "x", "v1") as first:
        first.write(b"whole")
        Path(first.name).replace(tmp_path / "x")
    with open_partial_file(tmp_path / "x", "v1") as second:
        assert second.tell() == 0
        second.write(b"again")
    assert (tmp_path / "x").read_bytes() == b"whole"


def test_copies_that_are_not_continued_are_removed_after_a_day(tmp_path: Path) -> None:
    for version, age in {"old": STALE_SECONDS + 60, "young": 60.0}.items():
        with open_partial_file(tmp_path / "x", version) as spool:
            spool.write(version.encode())
        os.utime(spool.name, times=(time.time() - age,) * 2)
    open_partial_file(tmp_path / "y", "v").close()
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"", b"young"]
