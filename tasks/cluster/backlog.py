"""The works of one run of the pool that wait for a worker, and how the attempts at them have failed.

A worker that dies may have been killed by its shard or by a faulty machine. An attempt therefore counts towards giving
a work up only when it failed on another device than those before, or when that device has finished something in
between; until then the work is kept away from the device. What failed on a device that was taken out of the run later
counts no more. After an error of the machine (a full disk, a store that does not answer) a work waits before it is
tried again, longer each time.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tasks.cluster.devices import Devices
from tasks.cluster.pooled_worker import Work
from tasks.cluster.workers import BLAMES_WORK, Cause, Device, Reply

MOST_SECONDS = 300.0
"""The longest wait after an error of the machine."""

log = logging.getLogger("coral.pool")


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended."""

    work: Work
    result: Any = None
    error: str = ""  # one line; empty on success
    traceback: str = ""  # of an error of the code
    attempts: int = 1  # that count
    deadly: bool = False  # every attempt killed its worker or stalled: its shard is to be quarantined


@dataclass
class Attempts:
    """Failed attempts at one work."""

    failed: list[tuple[Device, Cause]] = field(default_factory=list)
    failed_on: dict[Device, int] = field(default_factory=dict)  # device -> its progress when the last one failed there
    not_before: float = 0.0  # when the next one may begin, by the clock


@dataclass
class Backlog:
    """Works that wait, in order, and the attempts at them."""

    waiting: deque[Work]
    devices: Devices
    clock: Callable[[], float] = time.monotonic  # seconds
    retry_seconds: float = 5.0  # after a work's first error of the machine; each further one waits four times as long
    attempts: defaultdict[str, Attempts] = field(default_factory=lambda: defaultdict(Attempts))

    def take(self, device: Device) -> Work | None:
        """The first work that may be tried on a device now, taken out; None if there is none."""
        for work in self.waiting:
            if self._may_try(work, device) and self._is_due(work):
                self.waiting.remove(work)
                return work
        return None

    def has_any(self, device: Device) -> bool:
        """Whether a work waits that may be tried on a device, now or later."""
        return any(self._may_try(work, device) for work in self.waiting)

    def has_any_due(self, device: Device) -> bool:
        """Whether a work waits that may be tried on a device now."""
        return any(self._may_try(work, device) and self._is_due(work) for work in self.waiting)

    def done(self, work: Work, result: Any) -> Outcome:
        """The outcome of a work that succeeded."""
        return Outcome(work, result, attempts=len(self._counted(work)) + 1)

    def refused(self, work: Work, reply: Reply) -> Outcome:
        """The outcome of a work that ended in an error of its own."""
        attempts = len(self._counted(work)) + 1
        return Outcome(work, error=reply.error, traceback=reply.traceback, attempts=attempts)

    def again(self, work: Work, device: Device, cause: Cause, reason: str, turns: int) -> Outcome | None:
        """Put a work that failed back, behind `turns` others; after the last attempt its outcome instead."""
        if cause is Cause.PREEMPTED:
            self.waiting.appendleft(work)
            return None
        found = self.attempts[work.key]
        if cause is Cause.MACHINE or self._may_try(work, device):
            found.failed.append((device, cause))
        if cause is Cause.MACHINE:
            errors = sum(failed is Cause.MACHINE for _, failed in found.failed)
            found.not_before = self.clock() + min(MOST_SECONDS, self.retry_seconds * 4 ** (errors - 1))
        else:
            found.failed_on[device] = self.devices.progress[device]
        causes = self._counted(work)
        log.warning("%s: attempt %d failed on %s: %s", work.name, len(causes), device, reason)
        if len(causes) >= work.attempts:
            error = f"given up after {len(causes)} attempts: {reason}"
            return Outcome(work, error=error, attempts=len(causes), deadly=set(causes) <= BLAMES_WORK)
        self.waiting.insert(turns, work)
        return None

    def _counted(self, work: Work) -> list[Cause]:
        """Why the attempts failed that count."""
        return [cause for device, cause in self.attempts[work.key].failed if self.devices.is_usable(device)]

    def _is_due(self, work: Work) -> bool:
        return self.attempts[work.key].not_before <= self.clock()

    def _may_try(self, work: Work, device: Device) -> bool:
        """Whether an attempt on the device would give new information."""
        failed_on = self.attempts[work.key].failed_on
        return device not in failed_on or self.devices.progress[device] > failed_on[device]
