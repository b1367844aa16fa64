"""Where the files of a run's report lie in its output: reports/<run_id>/."""

from __future__ import annotations

from contextlib import suppress

from manifests.stores.store import CommitConflict, CommitUnknown, Store

PAGE = "index.html"
RECORD = "run.json"
ATTEMPTS = 20


def put(store: Store, run_id: str, name: str, data: bytes) -> str:
    """Write or replace a file; returns its key. CommitConflict when others keep winning."""
    key = _key(run_id, name)
    for _ in range(ATTEMPTS):
        info = store.head(key)
        with suppress(CommitUnknown):  # writing the same again does no harm
            if store.put_new(key, data) if info is None else store.put_if(key, data, info.etag):
                return key
    raise CommitConflict(f"{key} was written by others {ATTEMPTS} times in a row; report again when they are done")


def get(store: Store, run_id: str, name: str) -> bytes | None:
    """A file, or None where there is none."""
    try:
        return store.read(_key(run_id, name))
    except FileNotFoundError:
        return None


def address_of(output: str, key: str) -> str:
    """What to open."""
    return f"{output.rstrip('/')}/{key}"


def _key(run_id: str, name: str) -> str:
    return f"reports/{run_id}/{name}"
