"""What a job declares about its workers: resources, deadlines and price."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """Time limits, in minutes, after which a worker counts as stuck and is killed and replaced."""

    start_minutes: float = 15.0  # until it is ready: waiting for free resources, imports and networks
    stall_minutes: float = 30.0  # without any sign of progress, while it computes
    shard_minutes: float = 360.0  # for inverting or editing one shard
    fit_minutes: float = 1440.0  # for training one editor


DEFAULT_DEADLINES = Deadlines()
"""The deadlines of a job that gives none."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """The price of one actor."""

    per_actor_hour: float | None = None
    currency: str = "USD"

    def of(self, actor_hours: float) -> str:
        """The cost as text with its currency; empty without a price."""
        return "" if self.per_actor_hour is None else f"{actor_hours * self.per_actor_hour:.2f} {self.currency}"


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
        """Device of the networks. Ray shows an actor only its own GPU, so it is always the first one."""
        return "cuda" if self.num_gpus > 0 else "cpu"

    def needs(self) -> dict[str, float]:
        """The resources of one actor, under Ray's names."""
        needs = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": float(self.memory or 0)}
        return {name: amount for name, amount in needs.items() if amount > 0}
