"""Artifacts that come with a bundle: found by the content of the request that they answer."""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from pathlib import Path

from manifests.stores.store import Store
from tasks.artifacts.stored import Artifact, read_notes, tensors_key, write_record
from tasks.spec.requests import FitRequest, content_id

SHIPPED = "editors"
"""The folder of a bundle with artifacts of its own."""


def shipped(folder: Path, request: FitRequest) -> str:
    """sha256 of the artifact that comes with a bundle for a fit; empty if there is none.

    ValueError for a file in its place that is none.
    """
    path = _shipped_path(folder, request.method)
    if not path.is_file():
        return ""
    answered, digest = _answer(path, path.stat().st_mtime_ns)
    return digest if answered == content_id(request.content) else ""


def adopt_shipped(store: Store, folder: Path, request: FitRequest) -> Artifact | None:
    """Store the bundle's own artifact, byte for byte, if that is what a fit asks for.

    ValueError when the bundle here does not have it: another copy of it was planned with.
    """
    if not request.shipped:
        return None
    path = _shipped_path(folder, request.method)
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != request.shipped:
        raise ValueError(f"{path} is not the artifact that was planned with; give all machines the same bundle")
    store.put_new(tensors_key(request.id), data)
    return write_record(store, request.id, None)


@lru_cache(maxsize=8)
def _answer(path: Path, stamp: int) -> tuple[str, str]:
    """Content id of the request that a bundle's artifact answers, and its sha256; read again when the stamp changes."""
    data = path.read_bytes()
    try:
        return content_id(read_notes(data)["request"]), hashlib.sha256(data).hexdigest()
    except (KeyError, ValueError, struct.error) as error:
        raise ValueError(f"{path} is no artifact of a bundle ({error!r}); write it by `coral zoo fit`") from None


def _shipped_path(folder: Path, method: str) -> Path:
    return folder / SHIPPED / f"{method}.safetensors"
