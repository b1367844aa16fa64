"""Artifacts that ship with a bundle. Such an artifact is used for a fit whose request has the same content id."""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from pathlib import Path

from manifests.stores.store import Store
from tasks.artifacts.stored import Artifact, read_notes, tensors_key, write_record
from tasks.spec.requests import FitRequest, content_id

SHIPPED = "editors"
"""Folder inside a bundle that holds the artifacts it ships."""


def shipped_path(folder: Path, method: str) -> Path:
    """Where a bundle has the artifact of a method that it ships."""
    return folder / SHIPPED / f"{method}.safetensors"


def shipped(folder: Path, request: FitRequest) -> str:
    """SHA-256 of the artifact that ships with a bundle for a fit; empty if there is none.

    Errors: ValueError if the file at its path is not an artifact.
    """
    path = shipped_path(folder, request.method)
    if not path.is_file():
        return ""
    fitted_for, digest = _request_and_digest(path, path.stat().st_mtime_ns)
    return digest if fitted_for == content_id(request.content) else ""


def adopt_shipped(store: Store, folder: Path, request: FitRequest) -> Artifact | None:
    """Copy the bundle's artifact into the store, byte for byte, if the fit asks for it; otherwise None.

    Errors: ValueError if this machine's bundle does not hold the artifact that the plan names.
    """
    if not request.shipped:
        return None
    path = shipped_path(folder, request.method)
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != request.shipped:
        raise ValueError(f"{path} is not the artifact that was planned with; give all machines the same bundle")
    store.put_new(tensors_key(request.id), data)
    return write_record(store, request.id, None)


@lru_cache(maxsize=8)
def _request_and_digest(path: Path, modified_ns: int) -> tuple[str, str]:
    """Content id of the request that a bundle's artifact was fitted for, and the SHA-256 of its file.

    `modified_ns` is part of the cache key, so that a changed file is read again.
    """
    data = path.read_bytes()
    try:
        return content_id(read_notes(data)["request"]), hashlib.sha256(data).hexdigest()
    except (KeyError, ValueError, struct.error) as error:
        raise ValueError(f"{path} is no artifact of a bundle ({error!r}); write it by `coral zoo fit`") from None
