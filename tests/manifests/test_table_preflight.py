"""The preflight of an output also proves what the manifest's log needs, by the client that writes it."""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

from manifests.stores.preflight import UnfitStore, preflight
from manifests.stores.store import Store, StoreRefused
from manifests.table_preflight import preflight_output
from tests.emulator import Emulator


def test_a_good_store_passes_and_is_left_as_it_was(store: Store) -> None:
    preflight_output(store)
    assert list(store.list("")) == []


def test_a_server_that_obeys_one_client_only_is_refused(emulator: Emulator) -> None:
    """Such as a proxy that drops the condition from requests that it does not know."""

    def answer(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
        if "Boto3" not in environ.get("HTTP_USER_AGENT", ""):
            environ.pop("HTTP_IF_NONE_MATCH", None)
        return app(environ, start)

    store = emulator.store()
    with emulator.disturbed(answer):
        preflight(store)
        with pytest.raises(
            UnfitStore, match=r"let [234] of 4 simultaneous writers of delta-rs .*must obey the headers"
        ):
            preflight_output(store)
    assert list(store.list("")) == []


def test_a_server_that_refuses_the_other_client_is_named(emulator: Emulator) -> None:
    def answer(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
        if "Boto3" in environ.get("HTTP_USER_AGENT", ""):
            return app(environ, start)
        start("403 Forbidden", [("Content-Length", "0")])
        return []

    store = emulator.store()
    with emulator.disturbed(answer), pytest.raises(StoreRefused, match=r"cannot be written in .* by delta-rs: .*403"):
        preflight_output(store)
