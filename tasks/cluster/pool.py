"""Our own pool of workers: no shard is ever lost, whatever dies.

A call that fails because of the machine (a dead or stalled worker, a full disk or memory, a lost answer) is tried
again, as often as each piece of work allows, after a few others; an error of the code or of the caller is an outcome,
with its traceback. ray.util.ActorPool is not used because it drops queued work when its actors die. Workers are
replaced by us: a new one is given work only when it is ready, so one that waits for resources delays nothing, and a
death before that is never blamed on a shard. Where the same device loses worker after worker, the device is to blame:
it is taken out of the run (devices.py), and what failed there is not held against the shard (backlog.py).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tasks.cluster.backlog import Backlog, Outcome
from tasks.cluster.devices import Devices
from tasks.cluster.pooled_worker import PooledWorker, Work
from tasks.cluster.signals import deferred_signals
from tasks.cluster.time_limit import UNLIMITED, TimeLimit
from tasks.cluster.workers import Cause, Device, Reply, WorkerInfo, Workers
from tasks.spec.resources import DEFAULT_DEADLINES, Deadlines

LOSSES_IN_A_ROW = 6
ROUND_SECONDS = 0.25
START_SECONDS = 60.0
"""For this time a worker that does not run yet is expected to start on another device."""
SELF_TEST = "self_test"

log = logging.getLogger("coral.pool")


@dataclass
class Pool:
    """Workers that are kept from one run() to the next; at most as many as `cluster` has the capacity for."""

    cluster: Workers
    deadlines: Deadlines = DEFAULT_DEADLINES
    limit: TimeLimit = UNLIMITED
    clock: Callable[[], float] = time.monotonic  # seconds
    retry_seconds: float = 5.0  # before a work is tried again after its first error of the machine
    workers: list[PooledWorker] = field(default_factory=list)
    devices: Devices = field(default_factory=Devices)
    size: int = field(init=False)  # workers at most
    _ended_seconds: float = 0.0  # for which workers that are gone had been ready
    _failing: set[str] = field(default_factory=set)  # works that lost a worker since something was last finished
    _idle_losses: int = 0  # workers lost without work since one was last given some

    def __post_init__(self) -> None:
        self.size = self.cluster.capacity(())

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, works: Sequence[Work], watch: Callable[[list[Any]], None]) -> Iterator[Outcome]:
        """Outcomes in the order they come; `watch` gets the latest pulses of what is running, several times a second.

        Works that the time limit leaves no time for have no outcome.
        Errors: ValueError when workers can begin on no node; ChildProcessError when workers die again and again without
        finishing anything.
        """
        backlog = Backlog(deque(works), self.devices, self.clock, self.retry_seconds)
        while backlog.waiting or any(worker.work for worker in self.workers):
            if self.limit.used_up:
                backlog.waiting.clear()
            if self.limit.over:
                return self.close()
            with deferred_signals():
                outcomes = self._round(backlog)
            yield from outcomes
            watch([worker.latest for worker in self.workers if worker.work and worker.latest])

    def close(self) -> None:
        """Kill all workers."""
        for worker in list(self.workers):
            self._dismiss(worker)

    @property
    def worker_seconds(self) -> float:
        """How long workers have been ready, in all."""
        return self._ended_seconds + sum(self._ready_seconds(worker) for worker in self.workers)

    @property
    def excluded(self) -> tuple[str, ...]:
        """Devices and hosts that were taken out of the run, each with the reason, in words."""
        return tuple(self.devices.excluded.values())

    def _round(self, backlog: Backlog) -> list[Outcome]:
        """Process all calls that have ended, after a wait of ROUND_SECONDS at most, and assign work."""
        self._start(backlog)
        calls = {worker.call: worker for worker in self.workers}
        pulses = {worker.pulse: worker for worker in self.workers if worker.pulse is not None}
        replies = self.cluster.wait(calls, pulses, 0.0 if self._can_assign(backlog) else ROUND_SECONDS)
        for call, worker in pulses.items():
            if call in replies and replies[call].cause is None:
                worker.heard(replies[call].result, self.clock())
        ended = [self._take(worker, replies[call], backlog) for call, worker in calls.items() if call in replies]
        ended += [self._replace(worker, *missed, backlog) for worker, missed in self._overdue()]
        self._assign(backlog)
        self._ask_for_pulses()
        return [outcome for outcome in ended if outcome is not None]

    def _ask_for_pulses(self) -> None:
        for worker in self.workers:
            if worker.work and worker.pulse is None:
                worker.pulse = self.cluster.submit(worker.handle, "pulse")

    def _start(self, backlog: Backlog) -> None:
        """Start workers, one for each waiting work that no worker without work could take."""
        for worker in [each for each in self.workers if self._is_on_a_node_out(each) and each.work is None]:
            self._dismiss(worker)
        free = sum(self._may_take(worker, backlog) for worker in self.workers)
        for _ in range(min(self.size - len(self.workers), len(backlog.waiting) - free)):
            handle = self.cluster.start(self.devices.nodes_out)
            self.workers.append(PooledWorker(handle, self.clock(), self.cluster.where(handle)))

    def _may_take(self, worker: PooledWorker, backlog: Backlog) -> bool:
        """Whether the worker has no work and may do a waiting one, now or when it is ready."""
        if worker.work is not None or not self._is_usable(worker):
            return False
        return worker.info is None or backlog.has_any(worker.info.device)

    def _can_assign(self, backlog: Backlog) -> bool:
        idle = [worker for worker in self.workers if worker.is_idle and self._is_usable(worker)]
        return any(backlog.has_any_due(_device(worker)) for worker in idle)

    def _assign(self, backlog: Backlog) -> None:
        """Give each idle worker a work that may be tried on its device, or a self test if there is none."""
        idle = [worker for worker in self.workers if worker.is_idle and self._is_usable(worker)]
        for worker in idle:
            work = backlog.take(_device(worker))
            if work is not None:
                self._begin(worker, work)
        for worker in idle:
            stuck = backlog.waiting and worker.is_idle and not backlog.has_any(_device(worker))
            if stuck and not self._others_may_help(worker):
                self._begin(worker, Work(SELF_TEST, f"self test of {_device(worker)}", SELF_TEST, ()))

    def _begin(self, worker: PooledWorker, work: Work) -> None:
        self._idle_losses = 0
        worker.begin(work, self.cluster.submit(worker.handle, work.method, work.arguments), self.clock())

    def _others_may_help(self, worker: PooledWorker) -> bool:
        """Whether a worker on another device will soon be free for the works that may not be tried on this one."""
        return any(self._may_help(other, _device(worker)) for other in self.workers)

    def _may_help(self, other: PooledWorker, device: Device) -> bool:
        if other.info is None:
            return self.clock() - other.began < START_SECONDS
        return other.info.device != device and not other.is_idle and self._is_usable(other)

    def _take(self, worker: PooledWorker, reply: Reply, backlog: Backlog) -> Outcome | None:
        """Process the end of a worker's call; the outcome of its work if that is final."""
        if worker not in self.workers:
            return None  # it was dismissed in this round, with its node
        if worker.work is not None:
            return self._settle(worker, worker.work, reply, backlog)
        if reply.cause is not None:
            self._reject(worker, reply.cause, reply.error)
        elif worker.info is None:
            self._locate(worker, reply.result)
        else:
            worker.ready_since = self.clock()
            worker.end()
        return None

    def _locate(self, worker: PooledWorker, info: WorkerInfo) -> None:
        """The worker runs. On an excluded device it loads nothing, and keeps the device occupied."""
        worker.info, worker.life = info, self.cluster.submit(worker.handle, "live")
        self.devices.seen.add(info.device)
        worker.end()
        if self.devices.is_usable(info.device):
            worker.call = self.cluster.submit(worker.handle, "ready")

    def _settle(self, worker: PooledWorker, work: Work, reply: Reply, backlog: Backlog) -> Outcome | None:
        """The outcome of a work whose call ended, or None if it is tried again."""
        device = _device(worker)
        if work.key == SELF_TEST and reply.cause in (Cause.REQUEST, Cause.MACHINE):
            reply = Reply(cause=Cause.DEVICE, error=reply.error)
        if reply.cause is not None and reply.cause not in (Cause.REQUEST, Cause.MACHINE):
            return self._replace(worker, reply.cause, reply.error, backlog)
        worker.end()
        if work.key == SELF_TEST:
            if reply.cause is None:
                self.devices.passed(device)
            return None
        if reply.cause is Cause.MACHINE:
            return backlog.again(work, device, reply.cause, reply.error, len(self.workers))
        if reply.cause is Cause.REQUEST:
            return backlog.refused(work, reply)
        self._failing.clear()
        self.devices.finished(device)
        return backlog.done(work, reply.result)

    def _replace(self, worker: PooledWorker, cause: Cause, reason: str, backlog: Backlog) -> Outcome | None:
        """Dismiss a dead, stalled or late worker, and return the outcome of its work if that is final."""
        work = worker.work
        outcome = None
        if work is not None and work.key != SELF_TEST:
            outcome = backlog.again(work, _device(worker), cause, reason, len(self.workers) - 1)
        self._dismiss(worker)
        if cause is Cause.NODE and worker.info is not None:
            self.devices.seen.discard(worker.info.device)  # until a worker runs there again
        if cause is not Cause.PREEMPTED:
            self._count_loss(worker, work, reason)
        return outcome

    def _reject(self, worker: PooledWorker, cause: Cause, reason: str) -> None:
        """Dismiss a worker that was lost without work. One that cannot begin excludes its node from the run."""
        self._dismiss(worker)
        if cause is not Cause.REQUEST:
            self._count_loss(worker, None, reason)
            return
        if worker.info is not None:
            self.devices.exclude_node(worker.info.device, f"a worker cannot begin there: {reason}")
            self._resize()
        if worker.info is None or self.size == 0:
            raise ValueError(f"a worker cannot begin: {reason}")

    def _overdue(self) -> list[tuple[PooledWorker, tuple[Cause, str]]]:
        """Workers that missed a deadline. A worker that only keeps a device occupied has no deadline."""
        watched = [worker for worker in self.workers if worker.work or self._is_usable(worker)]
        missed = [(worker, worker.overdue(self.deadlines, self.clock())) for worker in watched]
        return [(worker, found) for worker, found in missed if found is not None]

    def _dismiss(self, worker: PooledWorker) -> None:
        self.workers.remove(worker)
        self.cluster.kill(worker.handle)
        self._ended_seconds += self._ready_seconds(worker)

    def _count_loss(self, worker: PooledWorker, work: Work | None, reason: str) -> None:
        """Count a loss for its device and for the circuit breaker, where a work that fails again counts once.

        A worker lost without work (it may only have waited for free resources) counts if no other worker has work.
        """
        out = len(self.devices.excluded)
        if worker.info is not None:
            self.devices.lost(worker.info.device, reason)
        if len(self.devices.excluded) > out:  # the excluded device explains the losses
            self._failing.clear()
            self._resize()
            if self.size == 0:
                raise ChildProcessError(f"no node is left for workers; {'; '.join(self.excluded)}")
            return
        if work is not None:
            again = f" {self.devices.losses[_device(worker)]}" if work.key == SELF_TEST else ""
            self._failing.add(work.key + again)
        elif any(other.work for other in self.workers):
            log.warning("a worker was lost while others are at work: %s", reason)
        else:
            self._idle_losses += 1
        losses = len(self._failing) + self._idle_losses
        if losses >= max(LOSSES_IN_A_ROW, 2 * self.size):
            raise ChildProcessError(
                f"{losses} workers or shards died in a row and nothing was finished in between; the last one: "
                f"{reason}. What is finished is kept; look for free resources in the cluster, at the machines' memory "
                "and at Ray's logs, then run again"
            )

    def _resize(self) -> None:
        """Excluded nodes have no capacity."""
        if self.devices.nodes_out:
            self.size = self.cluster.capacity(self.devices.nodes_out)

    def _is_on_a_node_out(self, worker: PooledWorker) -> bool:
        return worker.info is not None and worker.info.node in self.devices.nodes_out

    def _is_usable(self, worker: PooledWorker) -> bool:
        """Whether its device is part of the run; True for a worker that does not run anywhere yet."""
        return worker.info is None or self.devices.is_usable(worker.info.device)

    def _ready_seconds(self, worker: PooledWorker) -> float:
        return 0.0 if worker.ready_since is None else self.clock() - worker.ready_since


def _device(worker: PooledWorker) -> Device:
    assert worker.info is not None, "a worker that was given work runs somewhere"
    return worker.info.device
