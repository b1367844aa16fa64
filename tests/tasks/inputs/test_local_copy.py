"""A download is used by one process at a time, can be continued by another, and is removed when it is old."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from manifests.stores.store import ObjectChanged, Store
from manifests.stores.temporary import STALE_SECONDS
from tasks.inputs.local_copy import downloaded


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The download folder of this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"coral-spool-{os.getuid()}"


def etag_of(store: Store, key: str) -> str:
    info = store.head(key)
    assert info is not None
    return info.etag


def test_two_simultaneous_downloads_have_separate_files_and_leave_nothing(store: Store, spool: Path) -> None:
    store.put_new("a/x.tar", b"0123456789")
    etag = etag_of(store, "a/x.tar")
    with downloaded(store, "a/x.tar", etag) as first, downloaded(store, "a/x.tar", etag) as second:
        assert first != second and first.name == second.name == "x.tar"
        assert first.read_bytes() == second.read_bytes() == b"0123456789"
    assert list(spool.iterdir()) == []
    assert spool.stat().st_mode & 0o077 == 0


def test_another_version_is_not_downloaded(store: Store) -> None:
    store.put_new("x", b"one")
    etag = etag_of(store, "x")
    store.put_if("x", b"two", etag)
    with pytest.raises(ObjectChanged), downloaded(store, "x", etag):
        pass


def test_bytes_damaged_in_transit_are_not_reported_as_a_changed_object(store: Store) -> None:
    class Damaging:
        def fetch(self, key: str, path: Path, etag: str) -> None:
            raise ObjectChanged("the bytes do not match their checksum")

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

    store.put_new("x", b"one")
    with pytest.raises(OSError, match="try again") as error, downloaded(Damaging(), "x", etag_of(store, "x")):  # type: ignore[arg-type]
        pass
    assert not isinstance(error.value, ObjectChanged)


def test_files_of_killed_processes_are_removed_after_a_day(store: Store, spool: Path) -> None:
    store.put_new("x", b"one")
    spool.mkdir(mode=0o700)
    for name, age in {"shard-old": STALE_SECONDS + 60, "shard-young": 60.0}.items():
        (spool / name).mkdir()
        (spool / f"{name}.arrived").write_bytes(b"x")
        for path in (spool / name, spool / f"{name}.arrived"):
            os.utime(path, times=(time.time() - age,) * 2)
    with downloaded(store, "x", etag_of(store, "x")):
        pass
    assert sorted(path.name for path in spool.iterdir()) == ["shard-young", "shard-young.arrived"]


def test_a_folder_of_another_user_is_not_used(store: Store, spool: Path, tmp_path: Path) -> None:
    store.put_new("x", b"one")
    (tmp_path / "elsewhere").mkdir()
    spool.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="set TMPDIR"), downloaded(store, "x", etag_of(store, "x")):
        pass
