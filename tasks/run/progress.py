"""How a wave is going, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class WaveState:
    """A wave at one moment."""

    wave: str
    total: int  # pieces of work that were left to do when it began
    done: float  # of them; fractions for what is running
    samples: int  # images (times edits, in the edit wave) done so far
    failed: int  # pieces of work
    note: str = ""  # what is going on


OnProgress = Callable[[WaveState], None]
