"""How long a run may go on: max_hours of a job, on the wall clock.

When the time is used up nothing new is begun. What is in hand may be finished, because it is paid for and lost
otherwise, as long as that takes no more than a tenth of the time again; then it is dropped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

GRACE = 0.1


@dataclass(frozen=True)
class TimeLimit:
    """From `began` on, by `clock` (seconds), so many hours."""

    hours: float = math.inf
    clock: Callable[[], float] = time.monotonic
    began: float = 0.0

    @classmethod
    def from_now(cls, hours: float | None, clock: Callable[[], float] = time.monotonic) -> TimeLimit:
        """A limit that begins now; None: no limit."""
        return cls(math.inf if hours is None else hours, clock, clock())

    @property
    def used_up(self) -> bool:
        """Nothing new is to be begun."""
        return self._elapsed >= self.hours

    @property
    def over(self) -> bool:
        """What is in hand is to be dropped."""
        return self._elapsed >= self.hours * (1 + GRACE)

    @property
    def _elapsed(self) -> float:
        return (self.clock() - self.began) / 3600


UNLIMITED = TimeLimit()
