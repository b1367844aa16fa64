"""Coordinates of the small charts, in units of the SVG viewBox, with y pointing down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from pipelines.report.figures import Histogram
from tasks.spec.gates import BOUNDS

WIDTH, HEIGHT = 240.0, 72.0
"""Size of a chart without its labels."""
MARGIN = 38.0
"""Part of the width for the labels of the y axis, in charts with a y axis."""
LONG = 5
"""If a tick label is longer than this many characters, only the first and the last tick are kept."""


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    kind: str  # CSS class, which sets the colour
    title: str = ""


@dataclass(frozen=True)
class Mark:
    """A vertical line or a label at x."""

    x: float
    label: str
    anchor: str = "middle"  # text-anchor of the label: start, middle or end


@dataclass(frozen=True)
class Chart:
    """A histogram."""

    boxes: tuple[Box, ...]
    ticks: tuple[Mark, ...]
    gates: tuple[Mark, ...] = ()
    shades: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Point:
    """The value of one sample, or the median of all samples."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class StrengthChart:
    """A score at several strengths: a point for each sample, and a line through the medians."""

    points: tuple[Point, ...]
    medians: tuple[Point, ...]
    ticks: tuple[Mark, ...]  # the strengths
    ends: tuple[float, float]  # values at the bottom and at the top
    gates: tuple[Point, ...]  # y of the thresholds


def histogram_chart(histogram: Histogram, gates: Mapping[str, float]) -> Chart:
    """Stacked bars of passed and rejected rows; for each gate a line and a shaded area over the values it rejects."""
    bins = len(histogram.passed)
    step, tallest = WIDTH / bins, max(1, *map(sum, zip(histogram.passed, histogram.rejected, strict=True)))
    boxes = []
    for index, counts in enumerate(zip(histogram.passed, histogram.rejected, strict=True)):
        base = HEIGHT
        for count, kind in zip(counts, ("ok", "rejected"), strict=True):
            height = count / tallest * (HEIGHT - 6)
            base -= height
            if count:
                boxes.append(Box(index * step + 0.5, base, step - 1, height, kind, f"{count} {kind}"))
    x_of = {gate: _x(histogram, threshold) for gate, threshold in gates.items()}
    shades = [
        Box(x, 0, WIDTH - x, HEIGHT, "out") if BOUNDS[gate].upper else Box(0, 0, x, HEIGHT, "out")
        for gate, x in x_of.items()
    ]
    lines = [Mark(x, f"{gate} {gates[gate]:g}", _anchor(x)) for gate, x in x_of.items()]
    return Chart(tuple(boxes), _ticks(histogram), tuple(lines), shades=tuple(shades))


def strength_chart(values: Mapping[float, Sequence[float]], gates: Mapping[str, float]) -> StrengthChart:
    """Chart of the values of a score by strength, at equal distances in x, with the thresholds of its gates."""
    everything = [*gates.values(), *(value for each in values.values() for value in each)]
    low, high = min(everything), max(everything)
    span = (high - low) or 1.0

    def level(value: float) -> float:
        return 4 + (HEIGHT - 8) * (high - value) / span

    step = (WIDTH - MARGIN) / len(values)
    x_of = {strength: MARGIN + (index + 0.5) * step for index, strength in enumerate(values)}
    return StrengthChart(
        points=tuple(Point(x_of[at], level(each), f"{each:.4g}") for at, own in values.items() for each in own),
        medians=tuple(
            Point(x_of[at], level(median(own)), f"median {median(own):.4g}") for at, own in values.items() if own
        ),
        ticks=tuple(Mark(x, f"{strength:g}") for strength, x in x_of.items()),
        ends=(low, high),
        gates=tuple(Point(MARGIN, level(threshold), f"{gate} {threshold:g}") for gate, threshold in gates.items()),
    )


def shares(counts: Mapping[str, int]) -> tuple[Box, ...]:
    """One bar of width WIDTH, divided in proportion to the counts by status: ok, rejected, then the others."""
    total, x = max(1, sum(counts.values())), 0.0
    boxes = []
    for name, count in sorted(counts.items(), key=lambda each: (each[0] != "ok", each[0] != "rejected")):
        width = count / total * WIDTH
        kind = name if name in ("ok", "rejected") else "bad"
        boxes.append(Box(x, 0, width, 6, kind, f"{count} {name}"))
        x += width
    return tuple(boxes)


def _ticks(histogram: Histogram) -> tuple[Mark, ...]:
    """About four ticks at multiples of 1, 2, 2.5 or 5 times a power of ten."""
    span = histogram.high - histogram.low
    raw = span / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw)
    first = math.ceil(histogram.low / step - 1e-9)
    last = math.floor(histogram.high / step + 1e-9)
    marks = [Mark(_x(histogram, index * step), f"{round(index * step, 9):g}") for index in range(first, last + 1)]
    if max(len(mark.label) for mark in marks) > LONG:
        marks = [marks[0], marks[-1]]
    return tuple(replace(mark, anchor=_anchor(mark.x)) for mark in marks)


def _x(histogram: Histogram, value: float) -> float:
    share = (value - histogram.low) / (histogram.high - histogram.low)
    return min(WIDTH, max(0.0, share * WIDTH))


def _anchor(x: float) -> str:
    """Text anchor that keeps a label inside the chart."""
    return "start" if x < 0.08 * WIDTH else "end" if x > 0.92 * WIDTH else "middle"
