"""Proof that a store keeps the promises the commit protocol stands on, by real requests under a key that goes again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from manifests.stores.store import Store

PREFIX = "preflight-"  # no folder, which a local store would keep
RACERS = 4

_CONDITIONS = (
    "It must obey the headers If-None-Match: * and If-Match of PutObject, as AWS S3, SeaweedFS, RustFS and Cloudflare "
    "R2 do. Update the server, take away a proxy that drops the headers, or write the output elsewhere and copy it "
    "afterwards"
)
_PLAIN = "Take away what caches or rewrites requests on their way, or use another store"


class UnfitStore(ValueError):  # noqa: N818 (a verdict)
    """The store breaks a promise: commits on it could be lost or doubled."""


def preflight(store: Store) -> None:
    """Nothing, when the store reads what was written and honours create-only and compare-and-swap writes.

    UnfitStore says which promise is broken and what to do. A store that cannot be used at all raises its own errors.
    """
    key = f"{PREFIX}{uuid.uuid4().hex}"
    try:
        _check_create_only(store, key)
        _check_compare_and_swap(store, key)
        _check_reading(store, key)
    except BaseException:
        with suppress(Exception):  # what went wrong first is what counts
            store.delete(key)
        raise
    store.delete(key)
    _expect(store.head(key) is None, store, "still shows an object that was deleted", _PLAIN)


def _check_create_only(store: Store, key: str) -> None:
    winners = _race(lambda: store.put_new(key, b"first"))
    _expect(winners == 1, store, f"let {winners} of {RACERS} simultaneous writers create one object", _CONDITIONS)
    again = store.put_new(key, b"second")
    _expect(not again and store.read(key) == b"first", store, "created an object that was there", _CONDITIONS)


def _check_compare_and_swap(store: Store, key: str) -> None:
    seen = _etag(store, key)
    winners = _race(lambda: store.put_if(key, uuid.uuid4().bytes, seen))
    _expect(winners == 1, store, f"let {winners} of {RACERS} simultaneous writers replace one version", _CONDITIONS)
    _expect(not store.put_if(key, b"lost update", seen), store, "replaced a version nobody had seen", _CONDITIONS)
    store.delete(key)
    _expect(not store.put_if(key, b"", seen), store, "replaced an object that was not there", _CONDITIONS)


def _check_reading(store: Store, key: str) -> None:
    store.put_new(key, b"0123456789")
    _expect(store.read(key) == b"0123456789", store, "does not read what was written last", _PLAIN)
    _expect(store.read(key, 3, 4) == b"3456", store, "ignores the Range of a read", _PLAIN)
    listed = [info.key for info in store.list(key)]
    _expect(listed == [key], store, "does not list what was written", _PLAIN)


def _race(write: Callable[[], bool]) -> int:
    """How many of several simultaneous writers were told that they had won."""
    with ThreadPoolExecutor(RACERS) as pool:
        return sum(each.result() for each in [pool.submit(write) for _ in range(RACERS)])


def _etag(store: Store, key: str) -> str:
    info = store.head(key)
    if info is None:
        raise UnfitStore(f"{store} does not show what was written. {_PLAIN}")
    return info.etag


def _expect(kept: bool, store: Store, otherwise: str, advice: str) -> None:
    if not kept:
        raise UnfitStore(f"{store} {otherwise}. {advice}")
