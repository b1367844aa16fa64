"""Workers of the pool without processes and waiting: a method takes as long as a test says, by a simulated clock."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tasks.cluster.workers import Call, Cause, Device, Reply, WorkerInfo

ENDS_THE_PROCESS = {Cause.DEATH, Cause.NODE, Cause.PREEMPTED}


@dataclass(frozen=True)
class Takes:
    """What a method does: it takes some seconds, and ends in a reply; infinite seconds: it never ends."""

    seconds: float = 1.0
    reply: Reply = field(default_factory=Reply)


DONE = Takes()
HANGS = Takes(math.inf)


def fails(cause: Cause, seconds: float = 0.5, error: str = "it failed") -> Takes:
    """After some seconds the method ends without a result."""
    return Takes(seconds, Reply(cause=cause, error=error))


@dataclass(eq=False)
class Process:
    """One worker, on a slot of a device or waiting for one."""

    info: WorkerInfo | None
    calls: dict[Call, tuple[float, Reply]] = field(default_factory=dict)  # call -> when it ends, and how
    dead: Reply | None = None  # to every call, once it has died


@dataclass
class SimulatedWorkers:
    """`does(device, method, arguments)` says what a method does on a device; `slots` are the places for workers."""

    slots: Sequence[Device]
    does: Callable[[Device, str, tuple[Any, ...]], Takes] = lambda device, method, arguments: DONE
    now: float = 0.0
    processes: list[Process] = field(default_factory=list)
    submitted: Counter[str] = field(default_factory=Counter)  # method -> how often it was called
    waits: int = 0
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def clock(self) -> float:
        """Seconds since the simulation began."""
        return self.now

    def capacity(self, avoid: Collection[str]) -> int:
        return sum(slot.node not in avoid for slot in self.slots)

    def start(self, avoid: Collection[str]) -> Process:
        free = Counter(slot for slot in self.slots if slot.node not in avoid)
        free.subtract(process.info.device for process in self.processes if process.info is not None)
        slot = next((slot for slot in self.slots if free[slot] > 0), None)
        info = None if slot is None else WorkerInfo(slot.host, slot.node, slot.gpus, next(self._numbers))
        self.processes.append(Process(info))
        return self.processes[-1]

    def submit(self, worker: Process, method: str, arguments: tuple[Any, ...] = ()) -> Call:
        self.submitted[method] += 1
        call = (method, next(self._numbers))
        worker.calls[call] = self._ending(worker, method, arguments)
        return call

    def where(self, worker: Process) -> Call:
        return self.submit(worker, "where")

    def wait(self, calls: Collection[Call], also: Collection[Call], seconds: float) -> Mapping[Call, Reply]:
        self.waits += 1
        ends = {call: end for process in self.processes for call, end in process.calls.items()}
        self.now = min(self.now + seconds, max(self.now, min((ends[call][0] for call in calls), default=math.inf)))
        replies = {call: ends[call][1] for call in (*calls, *also) if ends[call][0] <= self.now}
        for process in self.processes:
            for call in replies.keys() & process.calls.keys():
                del process.calls[call]
                if replies[call].cause in ENDS_THE_PROCESS:
                    self.die(process, replies[call])
        return replies

    def kill(self, worker: Process) -> None:
        self.processes.remove(worker)

    def _ending(self, worker: Process, method: str, arguments: tuple[Any, ...]) -> tuple[float, Reply]:
        if worker.dead is not None:
            return self.now, worker.dead
        if worker.info is None or method == "live":
            return math.inf, Reply()
        if method == "where":
            return self.now, Reply(worker.info)
        if method == "pulse":
            return self.now, Reply(SimpleNamespace(done=0, transfers=False))
        takes = self.does(worker.info.device, method, arguments)
        result = arguments[0] if arguments and takes.reply.cause is None else takes.reply.result
        reply = takes.reply if takes.reply.cause else Reply(result)
        return self.now + takes.seconds, reply

    def die(self, process: Process, reply: Reply) -> None:
        """Everything that the process was asked for ends."""
        process.dead = reply
        process.calls = {call: (self.now, Reply(cause=reply.cause, error=reply.error)) for call in process.calls}
