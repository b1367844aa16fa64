"""A source object in a bucket as a local file, for as long as it is needed.

Downloads of all processes of a user meet in one folder: what a killed one has begun is gone on with by the next that
wants the same version, on the same machine.
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

MOST_NAME_BYTES = 255  # of a file; a key in a bucket may have 1024 without a slash


@contextmanager
def downloaded(store: Source, key: str, etag: str) -> Iterator[Path]:
    """The object under the last part of its key, or, where no file can have that name, under the key's digest.

    FileNotFoundError when it is gone, ObjectChanged for another etag.

    What was only damaged on its way is a plain OSError.
    """
    with owned_folder(_spool(), "shard-") as own:
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
    if name in ("", ".", "..") or "\0" in name or len(os.fsencode(name)) > MOST_NAME_BYTES:
        return f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.tar"
    return name


def _spool() -> Path:
    """The user's folder for downloads, rid of what is left over. PermissionError when it is somebody else's."""
    spool = private_folder("spool")
    sweep(spool.glob("shard-*"), held_by=lambda path: spool / path.name.partition(".")[0])
    return spool


class ShardChangedError(ValueError):
    """A source tar is not the one that was planned."""


@contextmanager
def local_copy(shard: Shard) -> Iterator[Path]:
    """The shard as a local file of its name; ShardChangedError if it is not the planned one, before reading or after.

    Errors: OSError when the bucket does not answer; later it may.
    """
    with _downloaded(shard) if shard.etag else _in_place(shard) as path:
        yield path


@contextmanager
def _in_place(shard: Shard) -> Iterator[Path]:
    path = path_of(shard.uri)
    stamp = _verified(shard, path, shard.stamp)
    yield path
    _verified(shard, path, stamp)


def _verified(shard: Shard, path: Path, stamp: str) -> str:
    """What a file that has the shard's content is known by; `stamp` if it was not touched since it was seen."""
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
