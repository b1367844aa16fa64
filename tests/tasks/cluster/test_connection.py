"""Joining a cluster, or starting one."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import ray

from tasks.cluster.connection import connect, disconnect


@pytest.fixture(scope="module", autouse=True)
def two_gpus() -> Iterator[None]:
    ray.init(num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield
    disconnect()


def test_a_cluster_that_is_joined_already_is_not_ours_to_leave() -> None:
    assert not connect()


@pytest.fixture
def inits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that Ray is asked to join or start; nothing is, and nothing is joined before."""
    addresses: list[str] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda address, **options: addresses.append(address))
    return addresses


@pytest.mark.parametrize("address", ["", " ", "local"])
def test_an_empty_address_is_none(inits: list[str], monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert connect() and inits == ["local"]


def test_a_head_that_is_not_there_is_told_at_once(inits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("", 0))
        port = listener.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    began = time.monotonic()
    with pytest.raises(ConnectionError, match=rf"^RAY_ADDRESS=127.0.0.1:{port}: .* refused.*unset RAY_ADDRESS[^\n]*$"):
        connect()
    assert inits == [] and time.monotonic() - began < 30


def test_a_head_that_takes_connections_is_joined(inits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        assert connect() and [address.rpartition(":")[2] for address in inits] == [str(port)]


@pytest.mark.parametrize("address", ["head", "head:port", "http://head:6379", "6379"])
def test_what_is_no_address_is_told_with_its_variable(
    inits: list[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises((ValueError, ConnectionError), match=rf"^RAY_ADDRESS={address}.*give .*HEAD:6379.*\Z"):
        connect()
    assert inits == []


def test_what_ray_says_when_it_does_not_start_is_one_line(inits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(address: str, **options: object) -> None:
        raise RuntimeError("no start\n\nlast lines of a log:\n" + "line\n" * 1000)

    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConnectionError, match=r"^Ray does not start on this machine: [^\n]{,320}$"):
        connect()


def test_ray_client_is_refused(inits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ValueError, match="run on a node of the cluster"):
        connect()
