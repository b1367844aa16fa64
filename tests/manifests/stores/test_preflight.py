"""The preflight accepts a store that has the guarantees, and refuses one that lacks any."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

from manifests.stores.preflight import UnfitStore, preflight
from manifests.stores.store import Store, StoreRefused
from tests.emulator import Emulator

Disturbance = Callable[[WSGIEnvironment, StartResponse, WSGIApplication], Iterable[bytes]]


def without(header: str) -> Disturbance:
    """A proxy that drops a header of every request."""

    def answer(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
        environ.pop(f"HTTP_{header}", None)
        return app(environ, start)

    return answer


def not_implemented(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
    if "HTTP_IF_NONE_MATCH" not in environ:
        return app(environ, start)
    body = b"<Error><Code>NotImplemented</Code><Message>A header you provided ...</Message></Error>"
    start("501 Not Implemented", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def nothing_here(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
    start("404 Not Found", [("Content-Length", "0")])
    return []


def test_a_good_store_passes_and_is_left_as_it_was(store: Store) -> None:
    store.put_new("commits/r1.json", b"{}")
    before = list(store.list(""))
    preflight(store)
    assert list(store.list("")) == before


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        ("IF_NONE_MATCH", r"let 4 of 4 simultaneous writers create one object\. It must obey the headers"),
        ("IF_MATCH", r"let 4 of 4 simultaneous writers replace one version\. It must obey the headers"),
        ("RANGE", r"ignores the Range of a read\. Remove the proxy or cache"),
    ],
)
def test_an_endpoint_that_ignores_a_header_is_refused(emulator: Emulator, header: str, verdict: str) -> None:
    store = emulator.store()
    with emulator.disturbed(without(header)), pytest.raises(UnfitStore, match=f"{store} {verdict}"):
        preflight(store)
    assert list(store.list("")) == []


def test_an_endpoint_without_conditional_writes_is_refused(emulator: Emulator) -> None:
    store = emulator.store()
    with emulator.disturbed(not_implemented), pytest.raises(StoreRefused, match="use one that does, as AWS S3"):
        preflight(store)


def test_the_error_for_a_wrong_endpoint_is_its_first_and_not_its_last(emulator: Emulator) -> None:
    store = emulator.store()
    with emulator.disturbed(nothing_here), pytest.raises(StoreRefused, match=r"cannot create .* correct the endpoint"):
        preflight(store)


def test_a_store_that_checks_the_condition_before_the_write_and_not_atomically_is_refused(emulator: Emulator) -> None:
    """Such as a gateway that checks first and then writes."""
    store = emulator.store()

    class Gateway:
        def put_new(self, key: str, data: bytes) -> bool:
            free = store.head(key) is None
            time.sleep(0.05)
            if free:
                store.put_new(key, data)
            return free

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def __str__(self) -> str:
            return "gateway"

    with pytest.raises(UnfitStore, match=r"gateway let [2-4] of 4 simultaneous writers create one object"):
        preflight(Gateway())  # type: ignore[arg-type]
