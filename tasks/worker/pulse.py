"""Pulses: the progress reports of a worker, by which the pool sees that it has not stalled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pulse:
    """The progress of the current work."""

    samples: int  # done
    fraction: float  # of the work
    note: str = ""
    transfers: bool = False  # a shard is fetched or a result stored; the stall deadline does not apply


NOTHING = Pulse(samples=0, fraction=0.0)
TRANSFER = Pulse(samples=0, fraction=0.0, transfers=True)

OnPulse = Callable[[Pulse], None]
