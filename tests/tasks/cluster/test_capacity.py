"""How many actors fit, on a local Ray that is configured with two GPUs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from tasks.cluster.capacity import max_actors
from tasks.cluster.connection import disconnect
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


def test_a_cluster_that_starts_nodes_on_demand_is_believed_where_the_job_names_a_number() -> None:
    """It may have no node yet that could hold an actor, or none at all; the actors that wait make it grow."""
    assert max_actors(Resources(num_gpus=3, actors=5), can_grow=True) == 5
    for resources, can_grow in ((Resources(num_gpus=3), True), (Resources(num_gpus=3, actors=5), False)):
        with pytest.raises(ValueError, match="starts its nodes on demand, give the number of actors"):
            max_actors(resources, can_grow=can_grow)


def test_avoided_nodes_have_no_capacity() -> None:
    (node,) = [each["NodeID"] for each in ray.nodes()]
    for resources in (Resources(), Resources(actors=3)):
        assert max_actors(resources, avoid={node}) == 0
        assert max_actors(resources, avoid={"another"}) == max_actors(resources)
