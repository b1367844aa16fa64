"""A test of the guarantees that the commit protocol needs from a store, by real requests under a temporary key."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from manifests.stores.store import Store

PREFIX = "preflight-"  # not a folder, because a local store would keep it
WRITERS = 4

CONDITIONS = (
    "It must obey the headers If-None-Match: * and If-Match of PutObject, as AWS S3, SeaweedFS, RustFS and Cloudflare "
    "R2 do. Update the server, remove a proxy that drops the headers, or write the output elsewhere and copy it "
    "afterwards"
)
_PLAIN = "Remove the proxy or cache that changes requests, or use another store"


class UnfitStore(ValueError):  # noqa: N818 (a result of the test)
    """The store lacks a guarantee: commits on it could be lost or happen twice."""


def preflight(store: Store) -> None:
    """Check that the store reads what was written and supports create-only and compare-and-swap writes.

    UnfitStore says which guarantee is missing and what to do. A store that cannot be used at all raises its own errors.
    """
    key = f"{PREFIX}{uuid.uuid4().hex}"
    try:
        _check_create_only(store, key)
        _check_compare_and_swap(store, key)
        _check_reading(store, key)
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            store.delete(key)
        raise
    store.delete(key)
    _require(store.head(key) is None, store, "still shows an object that was deleted", _PLAIN)


def _check_create_only(store: Store, key: str) -> None:
    winners = _race(lambda: store.put_new(key, b"first"))
    _require(winners == 1, store, f"let {winners} of {WRITERS} simultaneous writers create one object", CONDITIONS)
    again = store.put_new(key, b"second")
    _require(not again and store.read(key) == b"first", store, "created an object that existed", CONDITIONS)


def _check_compare_and_swap(store: Store, key: str) -> None:
    seen = _etag(store, key)
    winners = _race(lambda: store.put_if(key, uuid.uuid4().bytes, seen))
    _require(winners == 1, store, f"let {winners} of {WRITERS} simultaneous writers replace one version", CONDITIONS)
    _require(
        not store.put_if(key, b"lost update", seen),
        store,
        "replaced a version that the writer had not read",
        CONDITIONS,
    )
    store.delete(key)
    _require(not store.put_if(key, b"", seen), store, "replaced an object that did not exist", CONDITIONS)


def _check_reading(store: Store, key: str) -> None:
    store.put_new(key, b"0123456789")
    _require(store.read(key) == b"0123456789", store, "does not return the bytes that were written last", _PLAIN)
    _require(store.read(key, 3, 4) == b"3456", store, "ignores the Range of a read", _PLAIN)
    listed = [info.key for info in store.list(key)]
    _require(listed == [key], store, "does not list an object that was written", _PLAIN)


def _race(write: Callable[[], bool]) -> int:
    """The number of simultaneous writers whose write succeeded according to the store."""
    with ThreadPoolExecutor(WRITERS) as pool:
        return sum(each.result() for each in [pool.submit(write) for _ in range(WRITERS)])


def _etag(store: Store, key: str) -> str:
    info = store.head(key)
    if info is None:
        raise UnfitStore(f"{store} does not show an object that was written. {_PLAIN}")
    return info.etag


def _require(holds: bool, store: Store, problem: str, advice: str) -> None:
    if not holds:
        raise UnfitStore(f"{store} {problem}. {advice}")
