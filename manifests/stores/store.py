"""The Store protocol for objects, its errors, and its keys.

A key is a relative path of plain names ("commits/ab12.json"); prefixes are plain string prefixes, as in S3. Readers see
only complete objects: an object appears, or is replaced, in one atomic step, after its bytes are stored durably.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class CommitConflict(RuntimeError):  # noqa: N818 (a result, not a defect)
    """Another process won: read what it wrote. Raised where the result cannot be returned as False."""


class CommitUnknown(RuntimeError):  # noqa: N818
    """The answer to a conditional write was lost: it may have been executed. Read the object, then decide."""


class StoreRefused(ValueError):  # noqa: N818
    """The store refuses: no such bucket, no credentials, access denied. A repeated request gets the same answer."""


class StoreUnavailable(OSError):  # noqa: N818
    """The store gave no usable answer in any attempt. A later attempt may succeed."""


class DiskFull(OSError):  # noqa: N818
    """A local disk, or a quota on it, is full. The write fails again until there is free space."""


class ObjectChanged(OSError):  # noqa: N818
    """The received bytes are not of one version: the object was written again meanwhile, or damaged in transit."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object as the store describes it."""

    key: str
    size: int  # bytes
    etag: str  # opaque; different for different bytes, also for two writes of equal length within one clock tick
    modified: int  # seconds since 1970, by the store's clock


@dataclass(frozen=True)
class Upload:
    """Bytes of an unfinished write. No reader sees them; they only use space."""

    key: str  # of the object to be written; empty if the store does not know it
    id: str
    started: int  # seconds since 1970, by the store's clock


@dataclass(frozen=True)
class ObjectClient:
    """The access of another client to the objects of a store.

    `options` has the names of the Rust crate object_store, which delta-rs and polars take as storage_options. It holds
    credentials, so it is neither shown nor stored.
    """

    uri: str  # an absolute path, or s3://bucket/prefix
    options: Mapping[str, str] = field(default_factory=dict, repr=False)


class Source(Protocol):
    """Objects of other writers, for listing and fetching. Every key that the service allows is valid.

    A missing object is None for head and FileNotFoundError for fetch. Every method may raise StoreRefused and
    StoreUnavailable.
    """

    def head(self, key: str) -> ObjectInfo | None:
        """Size and etag, or None when there is no such object."""
        ...

    def fetch(self, key: str, path: Path, etag: str | None = None) -> None:
        """Copy the object to a local file, as Store.fetch does."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with prefix ("" for all), in the order of the keys' bytes.

        Empty objects whose keys end in a slash are left out; consoles create them for folders.
        """
        ...


class Store(Protocol):
    """A local directory or a bucket; callers do not depend on which.

    For a missing key head returns None, delete does nothing, read and fetch raise FileNotFoundError. A malformed key
    is a ValueError everywhere. put_new and put_if may raise CommitUnknown. With a network, every method may raise
    StoreRefused and StoreUnavailable, and read ObjectChanged; with a disk, DiskFull and StoreRefused.
    """

    def client(self) -> ObjectClient:
        """How other clients, of Delta Lake and of Arrow, reach the same objects; with credentials as of now."""
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """Size and etag, or None when there is no such object."""
        ...

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """At most `length` bytes from `start` on; fewer, or none, if the object ends earlier."""
        ...

    def fetch(self, key: str, path: Path, etag: str | None = None) -> None:
        """Copy the object to a local file, which appears complete or not at all; ObjectChanged if it has another etag.

        An interrupted fetch leaves a hidden file next to it, which the next fetch into that folder continues.
        """
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Upload a local file under a key that no other process writes."""
        ...

    def put_new(self, key: str, data: bytes) -> bool:
        """Create the object; False, without any change, if it exists already."""
        ...

    def put_if(self, key: str, data: bytes, etag: str) -> bool:
        """Replace the object if it still has this etag; False, without any change, if it has another or is missing."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; no error if it does not exist."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with prefix ("" for all), in the order of the keys' bytes."""
        ...

    def uploads(self) -> Iterator[Upload]:
        """Writes in progress, and unfinished ones of processes that have ended."""
        ...

    def abort(self, upload: Upload) -> None:
        """Remove the bytes of the upload; no error if it is finished or does not exist."""
        ...


def check_key(key: str) -> str:
    """The key itself; ValueError with the reason if it is invalid. The limits fit both local disks and S3."""
    names = key.split("/")
    if not key or any(not name for name in names):
        problem = "is empty, absolute, or has an empty part"
    elif any(name.startswith(".") for name in names):
        problem = "has a part that begins with a dot (such names are reserved for the store; '..' leads out of it)"
    elif "\\" in key or not key.isprintable():
        problem = "contains a backslash or an unprintable character"
    elif len(key.encode()) > 1024 or any(len(name.encode()) > 255 for name in names):
        problem = "is longer than 1024 bytes, or a part of it longer than 255"
    else:
        return key
    raise ValueError(f"the key {key!r} {problem}; a key is a relative path of plain names such as 'commits/ab12.json'")
