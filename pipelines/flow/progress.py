"""Progress of the waves: one bar per wave on a terminal, otherwise a line every few seconds.

Both show count, rate and time left.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tasks.run.progress import OnProgress, WaveState
from tasks.spec.callbacks import ignore

Style = Literal["bars", "lines", "none"]
SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def displayed(style: Style) -> Iterator[OnProgress]:
    """A display to which waves report while the block runs."""
    if style == "bars":
        with Bars(Console(stderr=True)) as bars:
            yield bars
    else:
        yield Lines(Console(stderr=True)) if style == "lines" else ignore


class Clock:
    """Start times of the waves, and the rates and times left that follow from them."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}

    def elapsed(self, wave: str) -> float:
        """Seconds since the first call for this wave."""
        return time.monotonic() - self._began.setdefault(wave, time.monotonic())

    def rate(self, state: WaveState) -> str:
        """Images per second so far; empty while there are no images."""
        elapsed = self.elapsed(state.wave)
        return f"{state.samples / elapsed:.1f} img/s" if state.samples and elapsed > 0 else ""

    def left(self, state: WaveState) -> str:
        """Time left at the rate so far."""
        if state.done >= state.total:
            return "done"
        if state.done <= 0:
            return ""
        seconds = round(self.elapsed(state.wave) * (state.total - state.done) / state.done)
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours}:{minutes:02d}:{seconds % 60:02d} left" if hours else f"{minutes}:{seconds % 60:02d} left"


class Lines:
    """Prints one line when a wave begins, every SECONDS_BETWEEN_LINES, and when it ends."""

    def __init__(self, console: Console) -> None:
        self.console, self.clock = console, Clock()
        self._due: dict[str, float] = {}

    def __call__(self, state: WaveState) -> None:
        """Print the state if a line is due."""
        elapsed = self.clock.elapsed(state.wave)
        due = self._due.get(state.wave, 0.0)
        over = state.done >= state.total and due < math.inf
        if over or elapsed >= due:
            self._due[state.wave] = math.inf if over else elapsed + SECONDS_BETWEEN_LINES
            self.console.print(f"{state.wave}: {summary(state, self.clock)}", highlight=False, soft_wrap=True)


class Bars:
    """Shows one bar per wave."""

    def __init__(self, console: Console) -> None:
        self.clock = Clock()
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:<7}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[summary]}"),
            TimeElapsedColumn(),
            console=console,
        )

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, state: WaveState) -> None:
        """Update the wave's bar."""
        if state.wave not in self._tasks:
            self._tasks[state.wave] = self._progress.add_task(state.wave, total=state.total, summary="")
        line = summary(state, self.clock)
        self._progress.update(self._tasks[state.wave], completed=state.done, summary=line)


def summary(state: WaveState, clock: Clock) -> str:
    """Count, images, rate, time left, failures and a note."""
    unit = "editors" if state.wave == "fit" else "shards"
    parts = [
        f"{int(state.done)}/{state.total} {unit}",
        f"{state.samples} images" if state.samples else "",
        clock.rate(state),
        clock.left(state),
        f"{state.failed} failed" if state.failed else "",
        state.note,
    ]
    return ", ".join(part for part in parts if part)
