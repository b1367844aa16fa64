"""How long a run may last: max_hours of a job, on the wall clock.

After that time no new work begins. Work under way may be finished, because its cost is spent already, as long as this
takes no more than a tenth of the time in addition; then it is stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

GRACE = 0.1


@dataclass(frozen=True)
class TimeLimit:
    """A number of hours from `began` on, by `clock` (seconds)."""

    hours: float = math.inf
    clock: Callable[[], float] = time.monotonic
    began: float = 0.0

    @classmethod
    def from_now(cls, hours: float | None, clock: Callable[[], float] = time.monotonic) -> TimeLimit:
        """A limit that begins now; None means no limit."""
        return cls(math.inf if hours is None else hours, clock, clock())

    @property
    def used_up(self) -> bool:
        """Whether no new work may begin."""
        return self._elapsed >= self.hours

    @property
    def over(self) -> bool:
        """Whether work under way is to be stopped."""
        return self._elapsed >= self.hours * (1 + GRACE)

    @property
    def _elapsed(self) -> float:
        return (self.clock() - self.began) / 3600


UNLIMITED = TimeLimit()
