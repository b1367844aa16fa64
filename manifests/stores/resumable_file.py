"""The unfinished local copy of an object: a hidden file next to its destination that outlives its process.

It is not synced: after a crash of the whole machine remove such files, or fetch to another folder.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from manifests.stores.temporary import lock, sweep


def open_spool(path: Path, version: str) -> BinaryIO:
    """The copy that an earlier fetch of the same version to the same folder left behind, or a new one, open at its end.

    It belongs to whoever holds it open: another process or thread that fetches the same meanwhile gets one of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent.glob(".*.partial"))
    digest = hashlib.sha256(version.encode()).hexdigest()[:32]
    shared = path.with_name(f".{digest}.partial")
    file = shared.open("ab")
    with suppress(BlockingIOError, FileNotFoundError):  # held by another, or finished by it since we opened it
        lock(file)
        if os.path.samestat(os.fstat(file.fileno()), shared.stat()):
            return file
    file.close()
    own = path.with_name(f".{uuid.uuid4().hex}.partial").open("xb")
    lock(own)
    return own
