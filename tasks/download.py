"""A source object in a bucket as a local file, for as long as it is needed.

Downloads of all processes of a user meet in one folder: what a killed one has begun is gone on with by the next that
wants the same version, on the same machine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifests.store import ObjectChanged, Store

STALE_SECONDS = 24 * 3600.0  # a copy this old belongs to a process that was killed


@contextmanager
def downloaded(store: Store, key: str, etag: str) -> Iterator[Path]:
    """The object under the last part of its key. FileNotFoundError when it is gone, ObjectChanged for another etag.

    What was only damaged on its way is a plain OSError.
    """
    spool = _spool()
    with tempfile.TemporaryDirectory(dir=spool, prefix="shard-") as own:
        arrived, path = Path(f"{own}.arrived"), Path(own, key.rpartition("/")[2])
        try:
            store.fetch(key, arrived, etag)
        except ObjectChanged as error:
            info = store.head(key)
            if info is not None and info.etag == etag:
                raise OSError(f"{error}; the object itself is still the same: try again") from error
            raise
        arrived.replace(path)
        yield path


def _spool() -> Path:
    """The user's folder for downloads, rid of what is too old. PermissionError when it is somebody else's."""
    spool = Path(tempfile.gettempdir()) / f"coral-spool-{os.getuid()}"
    spool.mkdir(mode=0o700, exist_ok=True)
    if spool.is_symlink() or spool.stat().st_uid != os.getuid():
        raise PermissionError(f"{spool} is not ours; have it removed, or set TMPDIR to a folder of your own")
    for stale in spool.glob("shard-*"):
        try:
            if time.time() - stale.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        except FileNotFoundError:  # another process was as quick
            continue
    return spool
