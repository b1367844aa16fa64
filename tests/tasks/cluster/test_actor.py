"""Actors on a local Ray that is configured with two GPUs, with ids that no ordinary machine has."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray

from coral_core.bundle.catalog import read_bundle
from manifests.stores.s3_options import AMBIENT
from tasks.cluster.actor import Worker, WorkerConfig, start_actor
from tasks.cluster.connection import disconnect
from tasks.cluster.pool import Pool
from tasks.cluster.pooled_worker import Work
from tasks.cluster.ray_workers import RayWorkers
from tasks.cluster.workers import WorkerInfo
from tasks.spec.resources import Resources

DEVICES = ("40", "41")


@pytest.fixture(scope="module", autouse=True)
def two_gpus() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", ",".join(DEVICES))
        patch.setenv("RAY_worker_niceness", "0")
        ray.init(num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)
        yield
        disconnect()


@pytest.fixture
def make_config(tmp_path: Path, bundle: Path) -> Any:
    def make(**changes: Any) -> WorkerConfig:
        fields: dict[str, Any] = {
            "output": str(tmp_path / "out"),
            "s3": AMBIENT,
            "bundle": str(bundle),
            "digests": read_bundle(str(bundle)).digests,
            "device": "cpu",
            "threads": 1,
            "max_failure_rate": 1.0,
        }
        return WorkerConfig(**{**fields, **changes})

    return make


def places_of(config: WorkerConfig, resources: Resources, count: int) -> list[tuple[WorkerInfo, str]]:
    """Where `count` actors are that run at once, and the devices that CUDA would show each."""
    actors = [start_actor(config, resources) for _ in range(count)]
    found = ray.get([actor.where.remote() for actor in actors])
    shown = ray.get([actor.__ray_call__.remote(lambda worker: os.environ["CUDA_VISIBLE_DEVICES"]) for actor in actors])
    for actor in actors:
        ray.kill(actor)
    return list(zip(found, shown, strict=True))


def test_each_actor_has_a_device_of_its_own(make_config: Any) -> None:
    found = places_of(make_config(), Resources(num_gpus=1), 2)
    assert sorted(place.gpus for place, _ in found) == [("40",), ("41",)]
    assert [(shown,) for _, shown in found] == [place.gpus for place, _ in found]


def test_fractions_share_devices_evenly(make_config: Any) -> None:
    found = places_of(make_config(), Resources(num_gpus=0.5, num_cpus=0.5), 4)
    assert Counter(shown for _, shown in found) == {"40": 2, "41": 2}
    assert len({place.pid for place, _ in found}) == 4


def test_an_actor_may_have_both(make_config: Any) -> None:
    ((_, shown),) = places_of(make_config(), Resources(num_gpus=2), 1)
    assert sorted(shown.split(",")) == ["40", "41"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"device": "cuda"},
            r"on host .*: resources.num_gpus is above 0, but torch .* sees no CUDA device.*num_gpus: 0",
        ),
        ({"bundle": "/no/such/bundle"}, r"on host .*: .*/no/such/bundle"),
        ({"digests": {"generator": "another"}}, r"on host .*: .* is not the planned one"),
    ],
)
def test_an_actor_that_cannot_work_says_why_and_the_run_ends(changes: Any, says: str, make_config: Any) -> None:
    resources = Resources(num_gpus=1)
    with (
        Pool(
            RayWorkers(partial(start_actor, make_config(**changes), resources), lambda avoid: 0 if avoid else 2)
        ) as pool,
        pytest.raises(ValueError, match=f"a worker cannot begin: ValueError: {says}"),
    ):
        list(pool.run([Work("a", "a", "invert", ())], lambda pulses: None))


def test_no_actor_starts_on_a_node_to_avoid(make_config: Any) -> None:
    (node,) = [each["NodeID"] for each in ray.nodes()]
    resources = Resources(num_cpus=0.1)
    actors = [start_actor(make_config(), resources, avoid) for avoid in ({"f" * 56}, {node, "f" * 56})]
    calls = [actor.where.remote() for actor in actors]
    assert ray.get(calls[0], timeout=60).node == node
    assert not ray.wait(calls[1:], timeout=2)[0]
    for actor in actors:
        ray.kill(actor)


def test_the_self_test_is_passed_by_a_bundle_that_computes(make_config: Any) -> None:
    Worker(make_config()).self_test()
