"""Temporary files and folders: which process owns them, and when they may be removed.

The owner keeps a flock on its file, or on the lock file in its folder; the kernel releases it when the process ends. A
sweep removes files that are old and not locked, so it never removes those of a living process, whatever their age.
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

STALE_SECONDS = 24 * 3600.0  # younger files are not removed: their owner may not have locked them yet
LOCK = ".owner"  # in a folder


def lock(file: BinaryIO) -> None:
    """Lock an open file until it is closed. BlockingIOError if another process holds the lock."""
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_owned(path: Path) -> bool:
    """Whether a living process has locked a file, or the lock file in a folder. True if that cannot be determined."""
    try:
        with (path / LOCK if path.is_dir() else path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: NFS requires it for a file open for reading
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextmanager
def owned_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder that this process owns during the block; it is removed after the block."""
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as name, (Path(name) / LOCK).open("xb") as file:
        lock(file)
        yield Path(name)


def sweep(paths: Iterable[Path], held_by: Callable[[Path], Path] = lambda path: path) -> None:
    """Remove the files and folders that are older than a day and that no living process owns.

    `held_by` gives the file or folder that the owner of a path has locked, if it is not the path itself.
    """
    for path in paths:
        with suppress(OSError):  # removed meanwhile, or owned by another user
            if time.time() - path.lstat().st_mtime > STALE_SECONDS and not is_owned(held_by(path)):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def private_folder(purpose: str, parent: Path | None = None) -> Path:
    """This user's folder for a purpose, in the system's temporary folder if no parent is given; it is not removed.

    All processes of the user have the same folder. PermissionError if another user owns it.
    """
    folder = (parent or Path(tempfile.gettempdir())) / f"coral-{purpose}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(
            f"{folder} belongs to another user; have it removed, or set TMPDIR to a folder of your own"
        )
    return folder


def can_write(folder: Path) -> bool:
    """Whether files can be created in the folder, which is created if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
