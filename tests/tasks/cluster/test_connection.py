"""Room for actors on a local Ray that was told to have two GPUs."""

from __future__ import annotations

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


def test_ray_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ValueError, match="run on a node of the cluster"):
        connect()
