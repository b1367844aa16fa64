"""The files of a run's report in its output, below reports/<run_id>/."""

from __future__ import annotations

from contextlib import suppress

from manifests.stores.store import CommitConflict, CommitUnknown, Store

PAGE = "index.html"
RECORD = "run.json"
ATTEMPTS = 20
"""Number of attempts to replace a file that other processes write at the same time."""


def put(store: Store, run_id: str, name: str, data: bytes) -> str:
    """Write or replace a file; returns its key. CommitConflict if other processes write it in every attempt."""
    key = _key(run_id, name)
    for _ in range(ATTEMPTS):
        info = store.head(key)
        with suppress(CommitUnknown):  # it is safe to write the same data again
            if store.put_new(key, data) if info is None else store.put_if(key, data, info.etag):
                return key
    raise CommitConflict(
        f"other processes wrote {key} during all {ATTEMPTS} attempts; run coral report again when they are done"
    )


def get(store: Store, run_id: str, name: str) -> bytes | None:
    """The data of a file; None if it does not exist."""
    try:
        return store.read(_key(run_id, name))
    except FileNotFoundError:
        return None


def address_of(output: str, key: str) -> str:
    """The full address of a file in an output."""
    return f"{output.rstrip('/')}/{key}"


def _key(run_id: str, name: str) -> str:
    return f"reports/{run_id}/{name}"
