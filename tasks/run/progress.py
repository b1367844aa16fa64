"""The progress of a wave, as it is passed to a display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class WaveState:
    """The state of a wave at one moment."""

    wave: str
    total: int  # works that were left to do when the wave began
    done: float  # works done; running ones count by their fraction
    samples: int  # images (times edits, in the edit wave) done so far
    failed: int  # works
    note: str = ""  # what the workers do now


OnProgress = Callable[[WaveState], None]
