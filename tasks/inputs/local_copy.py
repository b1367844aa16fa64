"""A source object in a bucket as a temporary local file.

All processes of a user download into the same folder, so that the next process on the same machine that needs the same
version continues the download of a killed one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from manifests.stores.open import open_source
from manifests.stores.store import ObjectChanged, Source
from manifests.stores.temporary import owned_folder, private_folder, sweep
from tasks.inputs.bucket_objects import bucket_and_key
from tasks.inputs.find import describe
from tasks.inputs.local_files import path_of, stamp_of
from tasks.spec.requests import Shard

MAX_NAME_BYTES = 255  # of a file; a key in a bucket may have 1024 without a slash


@contextmanager
def downloaded(store: Source, key: str, etag: str) -> Iterator[Path]:
    """A local copy named after the last part of the key, or after the key's digest if no file can have that name.

    FileNotFoundError if the object is missing, ObjectChanged if it has another etag, OSError if the bytes were damaged
    in transit.
    """
    with owned_folder(_download_folder(), "shard-") as own:
        arrived, path = Path(f"{own}.arrived"), own / _file_name(key)
        try:
            store.fetch(key, arrived, etag)
        except ObjectChanged as error:
            info = store.head(key)
            if info is not None and info.etag == etag:
                raise OSError(f"{error}; the object itself is still the same: try again") from error
            raise
        arrived.replace(path)
        yield path


def _file_name(key: str) -> str:
    name = key.rpartition("/")[2]
    if name in ("", ".", "..") or "\0" in name or len(os.fsencode(name)) > MAX_NAME_BYTES:
        return f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.tar"
    return name


def _download_folder() -> Path:
    """The user's folder for downloads; old files are removed. PermissionError if another user owns the folder."""
    spool = private_folder("spool")
    sweep(spool.glob("shard-*"), held_by=lambda path: spool / path.name.partition(".")[0])
    return spool


class ShardChangedError(ValueError):
    """A source tar differs from the planned one."""


@contextmanager
def local_copy(shard: Shard) -> Iterator[Path]:
    """The shard as a local file of its name; ShardChangedError if it differs from the plan before or after the block.

    Errors: OSError if the bucket does not answer; a later attempt may succeed.
    """
    with _downloaded(shard) if shard.etag else _verified_file(shard) as path:
        yield path


@contextmanager
def _verified_file(shard: Shard) -> Iterator[Path]:
    path = path_of(shard.uri)
    stamp = _verified(shard, path, shard.stamp)
    yield path
    _verified(shard, path, stamp)


def _verified(shard: Shard, path: Path, stamp: str) -> str:
    """The current stamp of a file, after a check that it has the shard's content; no hashing if it is `stamp`."""
    if not path.is_file():
        raise _changed(shard, "is gone")
    if stamp_of(path) == stamp:
        return stamp
    now = describe(path)
    if now.sha256 != shard.sha256:
        raise _changed(shard, "was changed")
    return now.stamp


@contextmanager
def _downloaded(shard: Shard) -> Iterator[Path]:
    bucket, key = bucket_and_key(shard.uri)
    with ExitStack() as stack:
        try:
            path = stack.enter_context(downloaded(open_source(bucket, shard.s3), key, shard.etag))
        except FileNotFoundError:
            raise _changed(shard, "is gone") from None
        except ObjectChanged:
            raise _changed(shard, "was written again") from None
        yield path


def _changed(shard: Shard, what: str) -> ShardChangedError:
    return ShardChangedError(f"{shard.uri} {what} after the run was planned; run again to plan with what is there now")
