"""Signs of life of the work at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pulse:
    """How far the work at hand is."""

    samples: int  # done
    fraction: float  # of the work
    note: str = ""
    transfers: bool = False  # a shard is fetched or a result stored: if that takes long, no sample is to blame


NOTHING = Pulse(samples=0, fraction=0.0)
TRANSFER = Pulse(samples=0, fraction=0.0, transfers=True)

OnPulse = Callable[[Pulse], None]
