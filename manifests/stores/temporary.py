"""Temporary files and folders: whom they belong to, and when what is left of them may be removed.

An owner holds its file, or the lock file in its folder, locked by flock until it is done; the kernel unlocks it when
the owner dies. A sweep removes what is old and not locked. So what a living process owns stays, however old it is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

STALE_SECONDS = 24 * 3600.0  # age below which nothing is removed: its owner may not have locked it yet
LOCK = ".owner"  # in a folder


def lock(file: BinaryIO) -> None:
    """Own an open file until it is closed. BlockingIOError when another one does."""
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_owned(path: Path) -> bool:
    """Whether a living process holds a file, or the lock file in a folder. What cannot be asked counts as owned."""
    try:
        with (path / LOCK if path.is_dir() else path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, as NFS wants it for a file open for reading
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextmanager
def owned_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder that belongs to this process during the block, and is removed after it."""
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as name, (Path(name) / LOCK).open("xb") as file:
        lock(file)
        yield Path(name)


def sweep(paths: Iterable[Path], held_by: Callable[[Path], Path] = lambda path: path) -> None:
    """Remove those files and folders that are older than a day and belong to no living process.

    `held_by` tells which file or folder the owner of a path holds, where it is not the path itself.
    """
    for path in paths:
        with suppress(OSError):  # gone meanwhile, or somebody else's
            if time.time() - path.lstat().st_mtime > STALE_SECONDS and not is_owned(held_by(path)):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def private_folder(purpose: str, parent: Path | None = None) -> Path:
    """This user's folder for a purpose, in the system's temporary folder if no parent is given; it stays.

    All processes of the user have the same. PermissionError when it is somebody else's.
    """
    folder = (parent or Path(tempfile.gettempdir())) / f"coral-{purpose}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is another user's; have it removed, or set TMPDIR to a folder of your own")
    return folder


def can_write(folder: Path) -> bool:
    """Whether files can be made in the folder, which is made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
