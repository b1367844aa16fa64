"""The interface between the pool and the system that runs its workers: Ray (RayWorkers), or a simulation in tests.

A worker is a process on some node. It has the methods that Work names, and these:

    where()      a WorkerInfo, at once
    ready()      returns when the networks are loaded and the worker can work
    pulse()      at any time, how far the work at hand is
    live()       never returns: a reply to it means that the process has ended
    self_test()  returns if the device computes what it should
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Handle = Any
"""A worker, as its implementation knows it."""
Call = Hashable
"""A method call that a worker was asked for."""


@dataclass(frozen=True)
class Device:
    """What a worker computes on: its GPUs, or the CPUs of its node."""

    host: str
    node: str  # the cluster's id
    gpus: tuple[str, ...] = ()  # the cluster's ids of the GPUs; empty: the CPUs

    def __str__(self) -> str:
        return f"GPU {', '.join(self.gpus)} of host {self.host}" if self.gpus else f"host {self.host}"


@dataclass(frozen=True)
class WorkerInfo:
    """Where a worker runs."""

    host: str
    node: str  # the cluster's id
    gpus: tuple[str, ...]  # ids of the GPUs that the cluster gives it; a shared one is given to several workers
    pid: int

    @property
    def device(self) -> Device:
        """What it computes on."""
        return Device(self.host, self.node, self.gpus)


class Cause(enum.Enum):
    """Why an attempt at a piece of work has no result."""

    REQUEST = enum.auto()  # the code raised an error, and would again: no attempt follows
    MACHINE = enum.auto()  # the code raised an error of the machine (disk, network, store); the worker is still good
    DEVICE = enum.auto()  # the device failed, or memory ran out: only a new process can go on
    NODE = enum.auto()  # the process ended because its node died, or had no memory left
    PREEMPTED = enum.auto()  # the cluster took the node away; this is no attempt
    LATE = enum.auto()  # not done in the time that the work has; it may only be large, or the network slow
    DEATH = enum.auto()  # the process ended
    STALLED = enum.auto()  # no progress for too long


BLAMES_WORK = frozenset({Cause.DEATH, Cause.STALLED})
"""What a piece of work may have done to its worker. All other causes blame the machine or nobody."""


@dataclass(frozen=True)
class Reply:
    """How a call ended."""

    result: Any = None
    cause: Cause | None = None  # None: it returned
    error: str = ""  # one line
    traceback: str = ""


class Workers(Protocol):
    """Starts workers, calls their methods, and kills them."""

    def capacity(self, avoid: Collection[str]) -> int:
        """How many workers to have at most, none of them on the nodes in `avoid`; 0 if there is no node for any."""
        ...

    def start(self, avoid: Collection[str]) -> Handle:
        """A new worker, which may have to wait for a node with free resources that is not in `avoid`."""
        ...

    def submit(self, worker: Handle, method: str, arguments: tuple[Any, ...] = ()) -> Call:
        """Call a method; returns at once. A call that cannot be made has a reply that says why."""
        ...

    def wait(self, calls: Collection[Call], also: Collection[Call], seconds: float) -> Mapping[Call, Reply]:
        """The replies to all of `calls` and `also` that have ended, as soon as one of `calls` has or time is up."""
        ...

    def kill(self, worker: Handle) -> None:
        """End the process at once, or cancel its start."""
        ...

    def where(self, worker: Handle) -> Call:
        """A call whose result is the worker's WorkerInfo. It comes before anything is loaded."""
        ...
