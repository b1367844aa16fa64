"""The work of one run of the pool that nobody is doing, and how its attempts so far have ended.

A worker that dies may have been killed by its shard or by a faulty machine. An attempt therefore counts towards giving
a work up only when it failed on another device than those before, or when that device has finished something in
between; until then the work is kept away from the device. What failed on a device that was taken out of the run later
counts no more.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from tasks.cluster.devices import Devices
from tasks.cluster.pooled_worker import Work
from tasks.cluster.workers import BLAMES_WORK, Cause, Device, Reply

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


@dataclass
class Backlog:
    """Works that wait, in order, and the attempts at them."""

    waiting: deque[Work]
    devices: Devices
    attempts: defaultdict[str, Attempts] = field(default_factory=lambda: defaultdict(Attempts))

    def take(self, device: Device) -> Work | None:
        """The first work that may be tried on a device, taken out; None if there is none."""
        for work in self.waiting:
            if self._may_try(work, device):
                self.waiting.remove(work)
                return work
        return None

    def has_any(self, device: Device) -> bool:
        """Whether a work waits that may be tried on a device."""
        return any(self._may_try(work, device) for work in self.waiting)

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
        if cause is not Cause.MACHINE:
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

    def _may_try(self, work: Work, device: Device) -> bool:
        """Whether an attempt there would tell something new."""
        failed_on = self.attempts[work.key].failed_on
        return device not in failed_on or self.devices.progress[device] > failed_on[device]
