"""The unfinished local copy of an object: a hidden file next to its destination that remains when its process ends.

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


def open_partial_file(path: Path, version: str) -> BinaryIO:
    """The partial copy of an earlier fetch of the same version to the same folder, or a new one, open at its end.

    It belongs to the process or thread that has it open; another one that fetches the same version gets a new file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent.glob(".*.partial"))
    digest = hashlib.sha256(version.encode()).hexdigest()[:32]
    shared = path.with_name(f".{digest}.partial")
    file = shared.open("ab")
    with suppress(
        BlockingIOError, FileNotFoundError
    ):  # another process holds it, or finished it after it was opened here
        lock(file)
        if os.path.samestat(os.fstat(file.fileno()), shared.stat()):
            return file
    file.close()
    own = path.with_name(f".{uuid.uuid4().hex}.partial").open("xb")
    lock(own)
    return own
