"""Errors of a local disk as exceptions that name the folder and say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifests.stores.store import DiskFull, StoreRefused

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
TEMPORARY = "set TMPDIR to a folder on another disk"
"""Advice for temporary files."""
READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def naming_full_disk(folder: Path, other: str) -> Iterator[None]:
    """DiskFull if the disk of the folder is full in the block; `other` says how to choose another folder."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(
                f"the disk of {folder} is full ({os.strerror(error.errno or 0)}): free space there, or {other}"
            ) from error
        raise


@contextmanager
def naming_refused_folder(folder: Path) -> Iterator[None]:
    """StoreRefused if the block has no permission to write below the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in READ_ONLY:
            raise StoreRefused(
                f"cannot write into the folder {folder} ({os.strerror(error.errno or 0)}): give user {os.getuid()} the "
                "right to write there, mount it writable, or name another folder"
            ) from error
        raise
