"""The Ray actor: models loaded once, then shards and fits until the run is over."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ray
import torch

from coral_core.models import Models, load_models
from manifests.store import open_store
from tasks.artifacts import Artifact, Editors
from tasks.outputs import ShardReport
from tasks.requests import EditRequest, FitRequest, InvertRequest
from tasks.work import OnPulse, Pulse, edit_shard, fit_editor, invert_shard

NOTHING = Pulse(samples=0, fraction=0.0)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the job reserves for each actor, and how many actors it wants."""

    actors: int | None = None  # None: as many as fit into the cluster
    num_cpus: float = 1.0  # also the threads of the networks
    num_gpus: float = 0.0  # above 0 the actor computes on its GPU, otherwise on the CPU
    memory: int | None = None  # bytes

    @property
    def threads(self) -> int:
        """Threads of one actor."""
        return max(1, math.floor(self.num_cpus))

    @property
    def device(self) -> str:
        """Ray shows an actor no other GPU than its own, so it is always the first one."""
        return "cuda" if self.num_gpus > 0 else "cpu"

    def needs(self) -> dict[str, float]:
        """What one actor takes from a node, in Ray's names."""
        needs = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": float(self.memory or 0)}
        return {name: amount for name, amount in needs.items() if amount > 0}


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """What an actor must know besides the requests."""

    output: str
    bundle: str
    digests: Mapping[str, str]  # of the bundle's parts, as planned
    device: str
    threads: int
    max_failure_rate: float


class Worker:
    """Everything one actor does. Loads nothing before it is needed, so that an error of loading is an answer."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.store = open_store(config.output)
        self.latest = NOTHING
        torch.set_num_threads(config.threads)

    @cached_property
    def models(self) -> Models:
        """The bundle; ValueError if it is not the one that was planned with."""
        models = load_models(self.config.bundle, self.config.device)
        if dict(models.digests) != dict(self.config.digests):
            raise ValueError(f"the bundle {self.config.bundle!r} on this machine is not the planned one; run again")
        return models

    @cached_property
    def editors(self) -> Editors:
        """Fitted editors, each read from the store once."""
        return Editors(self.store, self.models)

    def invert(self, request: InvertRequest) -> list[ShardReport]:
        """tasks.work.invert_shard."""
        with self._watched() as watch:
            return [invert_shard(request, self.models, self.store, self.config.max_failure_rate, watch)]

    def fit(self, request: FitRequest) -> Artifact:
        """tasks.work.fit_editor."""
        with self._watched() as watch:
            return fit_editor(request, self.models, self.store, watch)

    def edit(self, requests: Sequence[EditRequest]) -> list[ShardReport]:
        """tasks.work.edit_shard."""
        with self._watched() as watch:
            return edit_shard(requests, self.editors, self.models, self.store, self.config.max_failure_rate, watch)

    @ray.method(concurrency_group="pulse")  # answered by a thread of its own while the others work
    def pulse(self) -> Pulse:
        """How far the work at hand is."""
        return self.latest

    @contextmanager
    def _watched(self) -> Iterator[OnPulse]:
        """Pulses of one piece of work; none of it is left for the next."""

        def watch(pulse: Pulse) -> None:
            self.latest = pulse

        try:
            yield watch
        finally:
            self.latest = NOTHING


def hire(config: WorkerConfig, resources: Resources) -> Any:
    """Start one actor somewhere in the cluster; returns its handle at once."""
    threads = str(resources.threads)
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "WDS_SECURE": "1"}
    return (
        ray.remote(concurrency_groups={"pulse": 1})(Worker)
        .options(
            num_cpus=resources.num_cpus,
            num_gpus=resources.num_gpus,
            memory=resources.memory,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": environment},
        )
        .remote(config)
    )


def places(resources: Resources) -> int:
    """How many actors to have. ValueError when not even one fits on any node of the cluster."""
    needs = resources.needs()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fits = [min(math.floor(node.get(name, 0.0) / amount) for name, amount in needs.items()) for node in nodes]
    if sum(fits) == 0:
        largest = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in needs}
        raise ValueError(
            f"resources: each actor asks for {needs}, and the most any of {len(nodes)} nodes has is {largest}; "
            "ask for less in the job, or connect to a larger cluster with RAY_ADDRESS"
        )
    return sum(fits) if resources.actors is None else resources.actors
