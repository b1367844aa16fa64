"""An unfinished copy is gone on with by one at a time, and only if it is of the same version."""

from __future__ import annotations

import os
import time
from pathlib import Path

from manifests.stores.resumable_file import open_spool
from manifests.stores.temporary import STALE_SECONDS


def test_what_was_written_is_gone_on_with(tmp_path: Path) -> None:
    with open_spool(tmp_path / "deep" / "x", "v1") as spool:
        spool.write(b"01234")
    with open_spool(tmp_path / "deep" / "x", "v1") as spool:
        assert spool.tell() == 5
        spool.write(b"56789")
    (left,) = (tmp_path / "deep").iterdir()
    assert left.read_bytes() == b"0123456789" and left.name.startswith(".")


def test_other_versions_and_folders_begin_anew(tmp_path: Path) -> None:
    with open_spool(tmp_path / "x", "v1") as spool:
        spool.write(b"01234")
    for place, version in [("x", "v2"), ("deep/x", "v1")]:
        with open_spool(tmp_path / place, version) as spool:
            assert spool.tell() == 0
    with open_spool(tmp_path / "y", "v1") as spool:
        assert spool.tell() == 5


def test_a_held_copy_is_left_to_its_holder(tmp_path: Path) -> None:
    with open_spool(tmp_path / "x", "v1") as first, open_spool(tmp_path / "x", "v1") as second:
        assert first.name != second.name
        first.write(b"first")
        second.write(b"second")
    with open_spool(tmp_path / "x", "v1") as third:
        assert third.name == first.name and third.tell() == 5


def test_a_finished_copy_is_not_begun_again_under_the_feet_of_its_reader(tmp_path: Path) -> None:
    with open_spool(tmp_path / "x", "v1") as first:
        first.write(b"whole")
        Path(first.name).replace(tmp_path / "x")
    with open_spool(tmp_path / "x", "v1") as second:
        assert second.tell() == 0
        second.write(b"again")
    assert (tmp_path / "x").read_bytes() == b"whole"


def test_copies_nobody_went_on_with_are_swept_after_a_day(tmp_path: Path) -> None:
    for version, age in {"old": STALE_SECONDS + 60, "young": 60.0}.items():
        with open_spool(tmp_path / "x", version) as spool:
            spool.write(version.encode())
        os.utime(spool.name, times=(time.time() - age,) * 2)
    open_spool(tmp_path / "y", "v").close()
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"", b"young"]
