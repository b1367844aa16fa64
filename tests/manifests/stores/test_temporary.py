"""A sweep never removes files of a living process, whatever their age; when it has ended, the next sweep does."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from manifests.stores.local import STAGING
from manifests.stores.open import open_store
from manifests.stores.resumable_file import open_partial_file
from manifests.stores.temporary import STALE_SECONDS, can_write, is_owned, owned_folder, private_folder, sweep
from tasks.inputs.local_copy import _download_folder, downloaded
from tasks.shards.output import scratch_folder

FORK = multiprocessing.get_context("fork")


def own_staged(folder: Path) -> AbstractContextManager[Any]:
    return open_store(folder / "store")._staged(lambda file: file.write(b"x"))  # type: ignore[attr-defined, no-any-return]


def own_copy(folder: Path) -> AbstractContextManager[Any]:
    return open_partial_file(folder / "copy", "version")


def own_download(folder: Path) -> AbstractContextManager[Any]:
    store = open_store(folder / "source")
    store.put_new("x.tar", b"x")
    return downloaded(store, "x.tar", next(iter(store.list(""))).etag)


def own_scratch(folder: Path) -> AbstractContextManager[Any]:
    return scratch_folder()


def sweep_staged(folder: Path) -> None:
    open_store(folder / "store").put_new(uuid.uuid4().hex, b"x")


def sweep_copies(folder: Path) -> None:
    open_partial_file(folder / "other", "other").close()


def sweep_downloads(folder: Path) -> None:
    _download_folder()


def sweep_scratch(folder: Path) -> None:
    with scratch_folder():
        pass


Case = tuple[str, Callable[[Path], AbstractContextManager[Any]], Callable[[Path], None]]
CASES: Mapping[str, Case] = {
    "staged bytes": (f"store/{STAGING}/????????*", own_staged, sweep_staged),
    "an unfinished copy": (".*.partial", own_copy, sweep_copies),
    "a downloaded shard": ("coral-spool-*/shard-*", own_download, sweep_downloads),
    "rows of a shard": ("coral-scratch-*", own_scratch, sweep_scratch),
}
"""The folder of each kind of file, the function that creates one, and the function that removes old ones."""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder of this process and its children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


def make_old(path: Path) -> None:
    os.utime(path, times=(time.time() - STALE_SECONDS - 60,) * 2)


def own(take: Callable[[Path], AbstractContextManager[Any]], folder: Path, taken: Event) -> None:
    """Keep ownership until the process is killed."""
    with take(folder):
        taken.set()
        time.sleep(600)


@pytest.mark.parametrize("what", CASES)
def test_a_sweep_leaves_old_files_of_a_process_until_it_has_ended(tmp_path: Path, what: str) -> None:
    pattern, take, sweep_there = CASES[what]
    taken = FORK.Event()
    process = FORK.Process(target=own, args=(take, tmp_path, taken), daemon=True)
    process.start()
    assert taken.wait(60)
    (owned,) = tmp_path.glob(pattern)
    make_old(owned)
    sweep_there(tmp_path)
    assert owned.exists() and process.is_alive()
    process.kill()
    process.join()
    make_old(owned)
    sweep_there(tmp_path)
    assert not owned.exists()


def test_an_old_download_is_kept_while_its_owner_lives_and_removed_after(tmp_path: Path) -> None:
    spool = private_folder("spool")
    with owned_folder(spool, "shard-") as own:
        arrived = Path(f"{own}.arrived")
        arrived.write_bytes(b"x")
        make_old(arrived)
        sweep_downloads(tmp_path)
        assert arrived.exists()
    sweep_downloads(tmp_path)
    assert not arrived.exists()


def test_a_store_does_not_abort_the_write_of_a_living_process(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")

    def abort_it(file: object) -> None:
        for upload in store.uploads():
            store.abort(upload)

    with store._staged(abort_it) as staged:  # type: ignore[attr-defined]
        assert staged.exists()
    assert list(store.uploads()) == []


def test_young_files_are_kept_although_no_process_owns_them(tmp_path: Path) -> None:
    (tmp_path / "young").mkdir()
    sweep([tmp_path / "young", tmp_path / "gone"])
    assert (tmp_path / "young").is_dir() and not is_owned(tmp_path / "gone")


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"coral-thing-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="set TMPDIR"):
        private_folder("thing")
    assert private_folder("other").stat().st_mode & 0o077 == 0


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert can_write(tmp_path / "new" / "deep") and not can_write(tmp_path / "file" / "deep")
