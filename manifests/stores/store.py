"""Where objects live: the Store protocol, its keys, and the one door to an implementation.

A key is a relative path of plain names ("commits/ab12.json"); prefixes are plain string prefixes, as in S3. Whatever a
reader can see is complete: an object appears, or is replaced, in one atomic step, after its bytes are safe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class CommitConflict(RuntimeError):  # noqa: N818 (an outcome, not a fault)
    """Someone else won: read what they wrote. Raised where losing cannot simply be returned as False."""


class CommitUnknown(RuntimeError):  # noqa: N818
    """The answer to a conditional write was lost: it may or may not have happened. Look, then decide."""


class StoreRefused(ValueError):  # noqa: N818
    """The store says no: no such bucket, no credentials, access denied. The same request again gets the same answer."""


class StoreUnavailable(OSError):  # noqa: N818
    """The store did not answer, or not sensibly, however often it was asked. Later it may."""


class DiskFull(OSError):  # noqa: N818
    """A local disk, or a quota on it, has no room. The same at once fails again; once there is room it may not."""


class ObjectChanged(OSError):  # noqa: N818
    """The bytes that arrived do not belong together: the object was written again meanwhile, or damaged on its way."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object as the store describes it."""

    key: str
    size: int  # bytes
    etag: str  # opaque; differs whenever the bytes do, also between writes of equal length within one tick of the clock
    modified: int  # seconds since 1970, by the store's clock


@dataclass(frozen=True)
class Upload:
    """Bytes of a write that was begun and not finished. No reader sees them; they only take space."""

    key: str  # what it was to become, as far as the store knows
    id: str
    started: int  # seconds since 1970, by the store's clock


class Source(Protocol):
    """Objects that others wrote, to be listed and fetched. It has no rule for keys but that of its service.

    A missing object is None for head and FileNotFoundError for fetch. Every verb may raise StoreRefused and
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

        Left out are the empty objects whose keys end in a slash, which consoles make for folders.
        """
        ...


class Store(Protocol):
    """A local directory or a bucket; nothing else knows which.

    A missing key is None for head, nothing for delete, FileNotFoundError for read and fetch. A malformed key is a
    ValueError everywhere. put_new and put_if may raise CommitUnknown. Where there is a network, every verb may raise
    StoreRefused and StoreUnavailable, and read ObjectChanged; where there is a disk, DiskFull and StoreRefused.
    """

    def head(self, key: str) -> ObjectInfo | None:
        """Size and etag, or None when there is no such object."""
        ...

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """The bytes from start on, at most length of them; fewer, down to none, where the object ends earlier."""
        ...

    def fetch(self, key: str, path: Path, etag: str | None = None) -> None:
        """Copy the object to a local file, which appears whole or not at all; ObjectChanged if it has another etag.

        What an interrupted fetch leaves is hidden next to it, and continued by the next one into that folder.
        """
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Upload a local file under a name nobody else writes."""
        ...

    def put_new(self, key: str, data: bytes) -> bool:
        """Create the object; False, and nothing changed, when it exists already."""
        ...

    def put_if(self, key: str, data: bytes, etag: str) -> bool:
        """Replace the object if it still has this etag; False, and nothing changed, when it has not, or is gone."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is no error."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with prefix ("" for all), in the order of the keys' bytes."""
        ...

    def uploads(self) -> Iterator[Upload]:
        """Writes under way, and those whose writers died."""
        ...

    def abort(self, upload: Upload) -> None:
        """Drop what was written of it; one that is finished or gone is no error."""
        ...


def check_key(key: str) -> str:
    """The key itself, or a ValueError that says what is wrong with it. Limits hold for local disks and S3 alike."""
    names = key.split("/")
    if not key or any(not name for name in names):
        problem = "is empty, absolute, or has an empty part"
    elif any(name.startswith(".") for name in names):
        problem = "has a part that begins with a dot (such names are the store's own; '..' leads out of it)"
    elif "\\" in key or not key.isprintable():
        problem = "contains a backslash or an unprintable character"
    elif len(key.encode()) > 1024 or any(len(name.encode()) > 255 for name in names):
        problem = "is longer than 1024 bytes, or a part of it longer than 255"
    else:
        return key
    raise ValueError(f"the key {key!r} {problem}; a key is a relative path of plain names such as 'commits/ab12.json'")
