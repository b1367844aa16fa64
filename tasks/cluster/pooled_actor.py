"""One actor of the pool as the driver sees it: what it was asked, how far it says it is, and since when nothing moved.

An actor has three duties: `ready()` answers, once it can work, where it is; `pulse()` answers at any time how far the
work at hand is, and whether it `transfers`; and the methods that Work names do it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

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
class PooledActor:
    """One actor: starting, idle or at work."""

    handle: Any
    ready_ref: Any = field(init=False)  # reference of its answer to ready()
    info: Any = None  # that answer; None until it is there
    work: Work | None = None
    call: Any = None  # reference of the running call
    latest: Any = None  # its last pulse
    _pulse: Any = None  # reference of the pulse that was asked for
    _began: float = field(default_factory=time.monotonic)  # to start, or its work
    _moved: float = 0.0  # when a pulse last was another than the one before, or of a transfer
    _ready: float | None = None  # since when it can work

    @property
    def seconds(self) -> float:
        """How long it has been ready, at work or not."""
        return 0.0 if self._ready is None else time.monotonic() - self._ready

    def __post_init__(self) -> None:
        self.ready_ref = self.handle.ready.remote()

    def poll_ready(self) -> bool:
        """Whether the answer to ready() is there. What went wrong before it could be given is raised."""
        if self.info is None and _is_ready(self.ready_ref):
            self.info = ray.get(self.ready_ref)
            self._ready = time.monotonic()
        return self.info is not None

    def begin(self, work: Work) -> None:
        """Hand out a piece of work."""
        self.work, self.call = work, getattr(self.handle, work.method).remote(*work.arguments)
        self._began = self._moved = time.monotonic()

    def end(self) -> None:
        """Be free for the next one."""
        self.work = self.call = self.latest = self._pulse = None

    def listen(self) -> None:
        """Ask how far the work is, and take the answer if it is there. RayError if it died without work."""
        if self._pulse is None:
            self._pulse = self.handle.pulse.remote()
        elif _is_ready(self._pulse):
            reference, self._pulse = self._pulse, None
            try:
                pulse = ray.get(reference)
            except RayError:
                if self.work is None:
                    raise
                return  # the call itself will tell
            if pulse != self.latest or pulse.transfers:  # which may be slow, and ends by the timeouts of the store
                self.latest, self._moved = pulse, time.monotonic()

    def overdue(self, deadlines: Deadlines) -> str:
        """Which deadline it has missed, in words; empty if none."""
        now = time.monotonic()
        if self.info is None and now - self._began > 60 * deadlines.start_minutes:
            return f"not ready after {deadlines.start_minutes:g} minutes"
        if self.work is None:
            return ""
        if self.stuck(deadlines):
            return f"no progress for {deadlines.stall_minutes:g} minutes"
        return f"not done after {self.work.minutes:g} minutes" if now - self._began > 60 * self.work.minutes else ""

    def stuck(self, deadlines: Deadlines) -> bool:
        """Whether its work has stood still for too long."""
        return self.work is not None and time.monotonic() - self._moved > 60 * deadlines.stall_minutes


def _is_ready(reference: Any) -> bool:
    return bool(ray.wait([reference], timeout=0)[0])
