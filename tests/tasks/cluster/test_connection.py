"""Room for actors on a local Ray that was told to have two GPUs."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import ray

from tasks.cluster.capacity import max_actors
from tasks.cluster.connection import connect, disconnect
from tasks.spec.resources import Resources


@pytest.fixture(scope="module", autouse=True)
def two_gpus() -> Iterator[None]:
    ray.init(num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield
    disconnect()


@pytest.mark.parametrize(
    ("resources", "actors"),
    [
        (Resources(), 4),
        (Resources(actors=3), 3),
        (Resources(num_gpus=1), 2),
        (Resources(num_gpus=2), 1),
        (Resources(num_gpus=0.5), 4),
        (Resources(num_gpus=0.1, num_cpus=0.1), 20),
        (Resources(num_gpus=0.3, num_cpus=0.5), 6),
        (Resources(num_gpus=0.4), 4),
        (Resources(num_gpus=0.6), 2),
    ],
)
def test_auto_means_as_many_as_fit(resources: Resources, actors: int) -> None:
    assert max_actors(resources) == actors


class Holder:
    """Holds on to what it was given."""

    def ready(self) -> None: ...


def test_ray_starts_as_many_that_share_devices_and_not_one_more() -> None:
    fits = max_actors(Resources(num_gpus=0.6))
    holders = [ray.remote(Holder).options(num_cpus=0, num_gpus=0.6).remote() for _ in range(fits + 1)]
    ready_refs = [holder.ready.remote() for holder in holders]
    assert len(ray.wait(ready_refs, num_returns=fits, timeout=120)[0]) == fits
    assert len(ray.wait(ready_refs, num_returns=fits + 1, timeout=1)[0]) == fits
    for holder in holders:
        ray.kill(holder)


def test_what_no_node_has_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'GPU': 3.*the most any of 1 nodes has is .*'GPU': 2.*RAY_ADDRESS"):
        max_actors(Resources(num_gpus=3))


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
