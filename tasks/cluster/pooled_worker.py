"""One worker of the pool as the driver sees it: what it was asked, how far it says it is, and since when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tasks.cluster.workers import Call, Cause, Handle, WorkerInfo
from tasks.spec.resources import Deadlines

SHARD_ATTEMPTS = 3
FIT_ATTEMPTS = 8
"""A fit reads nothing of the user's that could kill a worker, and takes long enough to lose several to other causes."""


@dataclass(frozen=True)
class Work:
    """One call of a worker's method."""

    key: str  # unique in its wave
    name: str  # for people
    method: str
    arguments: tuple[Any, ...]
    minutes: float = math.inf  # that one attempt may take
    attempts: int = SHARD_ATTEMPTS  # after which it is given up


@dataclass(eq=False)
class PooledWorker:
    """One worker: starting, loading its networks, idle, or at work. Times are seconds of the pool's clock."""

    handle: Handle
    began: float  # when it was asked to start, or was given its work
    call: Call  # what is waited for: where(), then ready(); live() while it is idle, else the method of its work
    life: Call | None = None  # live(), once it runs
    info: WorkerInfo | None = None  # None until it runs somewhere
    ready_since: float | None = None  # None until it can work
    work: Work | None = None
    pulse: Call | None = None  # that was asked for
    latest: Any = None  # the last pulse
    moved: float = 0.0  # when a pulse last differed from the one before, or was of a transfer

    @property
    def is_idle(self) -> bool:
        """Whether it can be given work."""
        return self.ready_since is not None and self.work is None

    def begin(self, work: Work, call: Call, now: float) -> None:
        """It was given a piece of work."""
        self.work, self.call = work, call
        self.began = self.moved = now

    def end(self) -> None:
        """It is free for the next one."""
        self.work = self.latest = self.pulse = None
        self.call = self.life

    def heard(self, pulse: Any, now: float) -> None:
        """Take a pulse. A transfer may be slow, and ends by the timeouts of the store."""
        self.pulse = None
        if pulse != self.latest or pulse.transfers:
            self.latest, self.moved = pulse, now

    def overdue(self, deadlines: Deadlines, now: float) -> tuple[Cause, str] | None:
        """Which deadline it has missed, and in words; None if none."""
        if self.ready_since is None and now - self.began > 60 * deadlines.start_minutes:
            return Cause.LATE, f"not ready after {deadlines.start_minutes:g} minutes"
        if self.work is None:
            return None
        if now - self.moved > 60 * deadlines.stall_minutes:
            return Cause.STALLED, f"no progress for {deadlines.stall_minutes:g} minutes"
        if now - self.began > 60 * self.work.minutes:
            return Cause.LATE, f"not done after {self.work.minutes:g} minutes"
        return None
