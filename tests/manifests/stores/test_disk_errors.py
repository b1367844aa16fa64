"""The error for a full disk or a folder without write permission names the folder, in one line."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from manifests.stores.open import open_store
from manifests.stores.store import DiskFull, Store
from tasks.inputs.local_copy import downloaded
from tasks.shards.output import scratch_folder
from tests.manifests.disturbances import file_of
from tests.unprivileged import obey_permissions

WRITES: Mapping[str, Callable[[Store, Path], object]] = {
    "put_new": lambda store, path: store.put_new("a/k", b"x"),
    "put_if": lambda store, path: store.put_if("there", b"x", next(iter(store.list("there"))).etag),
    "put_file": lambda store, path: store.put_file("a/k", file_of(path, b"x")),
}
REFUSED = """
import sys
from manifests.stores.open import open_store
from manifests.stores.preflight import preflight
try:
    preflight(open_store(sys.argv[1]))
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("write", WRITES)
def test_a_full_disk_of_the_output_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, code: int
) -> None:
    store = open_store(tmp_path / "out")
    store.put_new("there", b"x")

    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match=rf"^the disk of {tmp_path}/out is full \(.*\): free space .*\Z") as failure:
        WRITES[write](store, tmp_path)
    assert str(pickle.loads(pickle.dumps(failure.value))) == str(failure.value)
    assert [info.key for info in store.list("")] == ["there"] and list(store.uploads()) == []


def test_a_full_temporary_folder_is_named(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store.put_new("x.tar", b"0123456789")
    with pytest.raises(DiskFull, match=rf"^the disk of {tmp_path} is full .* set TMPDIR .*\Z"), scratch_folder():
        raise OSError(errno.ENOSPC, "No space left on device")

    real_open = Path.open

    def full(path: Path, mode: str = "r", *rest: object) -> object:
        return real_open(Path("/dev/full"), "wb") if path.name.endswith(".partial") else real_open(path, mode)

    monkeypatch.setattr(Path, "open", full)
    etag = next(iter(store.list(""))).etag
    with pytest.raises(DiskFull, match=rf"^the disk of {tmp_path}/coral-spool-\d+ is full .* set TMPDIR .*\Z"):
        downloaded(store, "x.tar", etag).__enter__()


@pytest.mark.parametrize("state", ["missing", "empty", "used"])
def test_a_folder_without_write_permission_is_named(tmp_path: Path, state: str) -> None:
    out = tmp_path / "parent" / "out"
    out.parent.mkdir()
    if state == "used":
        open_store(out).put_new("there", b"x")
    elif state == "empty":
        out.mkdir()
    folders = [folder for folder in (out.parent, out, out / ".staging") if folder.exists()]
    for folder in folders:
        folder.chmod(0o500)
    answer = subprocess.run(
        [sys.executable, "-c", REFUSED, str(out)],
        cwd=Path(__file__).parents[3],
        preexec_fn=obey_permissions,
        capture_output=True,
        text=True,
        check=False,
    )
    for folder in folders:
        folder.chmod(0o700)
    assert answer.returncode == 0, answer.stderr
    (line,) = answer.stdout.splitlines()
    assert line.startswith(f"cannot write into the folder {out} (Permission denied): give user {os.getuid()} the right")
    assert str(out / ".staging") not in line
