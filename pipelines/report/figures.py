"""The numbers of a report, from a few passes over the published rows that keep only sums."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manifests.query import PICTURED, Ask, quoted
from pipelines.report.score_labels import SCORES

BINS = 36
NARROW = 1e-3
"""A histogram is at least so wide: smaller differences of scores mean nothing."""
REASONS = 60
"""Different reasons that a page lists, the most frequent ones."""


@dataclass(frozen=True)
class Quantiles:
    """The values of one score of one edit."""

    low: float
    early: float  # twentieth
    median: float
    late: float  # nineteen twentieths
    high: float


@dataclass(frozen=True)
class Histogram:
    """Rows by value in equal bins from low to high; the same ends for all edits, so that they can be compared."""

    low: float
    high: float
    passed: tuple[int, ...]
    rejected: tuple[int, ...]


@dataclass(frozen=True)
class LayerArea:
    """How much of one layer an edit takes: the mean over its rows, and where the middle nine tenths lie."""

    mean: float
    early: float
    late: float


@dataclass(frozen=True)
class Reason:
    """Why some rows have no image."""

    status: str
    reason: str
    rows: int
    edits: int  # in which they are
    key: str  # of one of them


@dataclass
class EditFigures:
    """One edit in numbers."""

    statuses: Counter[str] = field(default_factory=Counter)
    gates: Counter[str] = field(default_factory=Counter)  # rejected rows by their gate
    spreads: dict[str, Quantiles] = field(default_factory=dict)  # by score
    histograms: dict[str, Histogram] = field(default_factory=dict)
    layers: list[LayerArea] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """All of them, whatever their status."""
        return sum(self.statuses.values())


def chosen_rows(ask: Ask, edits: Sequence[str], requests: frozenset[str]) -> str:
    """A subquery with the rows of the edits that come from the requests. What else was published is left out."""
    if not edits:
        return "(SELECT * FROM manifest WHERE false)"
    named = f"edit IN ({', '.join(map(quoted, edits))})"
    found = ask(f"SELECT DISTINCT request_id FROM manifest WHERE {named}").to_pylist()
    others = [row["request_id"] for row in found if row["request_id"] not in requests]
    without = f" AND request_id NOT IN ({', '.join(map(quoted, others))})" if others else ""
    return f"(SELECT * FROM manifest WHERE {named}{without})"


def edit_figures(ask: Ask, rows: str, thresholds: Mapping[str, Iterable[float]]) -> dict[str, EditFigures]:
    """Everything counted, by edit id. `thresholds`, by score, are inside the histograms' ends."""
    found: defaultdict[str, EditFigures] = defaultdict(EditFigures)
    for row in ask(f"SELECT edit, status, gate, count(*) AS n FROM {rows} GROUP BY ALL").to_pylist():
        found[row["edit"]].statuses[row["status"]] += row["n"]
        if row["gate"]:
            found[row["edit"]].gates[row["gate"]] += row["n"]
    for name in SCORES:
        _spread(ask, rows, name, found)
        _count(ask, rows, name, found, thresholds.get(name, ()))
    for row in ask(_layers_sql(rows)).to_pylist():
        found[row["edit"]].layers.append(LayerArea(row["mean"], *row["ends"]))
    return dict(found)


def failure_reasons(ask: Ask, rows: str) -> list[Reason]:
    """Why rows have no image, the most frequent reasons first."""
    sql = f"""SELECT status, coalesce(reason, '') AS reason,
        count(*) AS rows, count(DISTINCT edit) AS edits, min(key) AS key
        FROM {rows} WHERE NOT {PICTURED} GROUP BY status, reason ORDER BY rows DESC, status, reason LIMIT {REASONS}"""
    return [Reason(**row) for row in ask(sql).to_pylist()]


def _spread(ask: Ask, rows: str, score: str, found: Mapping[str, EditFigures]) -> None:
    sql = f"""SELECT edit, min({score}) AS low, max({score}) AS high,
        approx_quantile({score}, [0.05, 0.5, 0.95]) AS ends
        FROM {rows} WHERE {PICTURED} AND isfinite({score}) GROUP BY edit"""
    for row in ask(sql).to_pylist():
        early, median, late = row["ends"]
        found[row["edit"]].spreads[score] = Quantiles(row["low"], early, median, late, row["high"])


def _count(ask: Ask, rows: str, score: str, found: Mapping[str, EditFigures], thresholds: Iterable[float]) -> None:
    spreads = {edit: figures.spreads[score] for edit, figures in found.items() if score in figures.spreads}
    if not spreads:
        return
    ends = [*thresholds, *(end for each in spreads.values() for end in (each.low, each.high))]
    low, high = _round_ends(min(ends), max(ends))
    sql = f"""SELECT edit, status = 'ok' AS ok, count(*) AS n,
        least({BINS - 1}, greatest(0, floor(({score} - ({low})) / ({high - low}) * {BINS})))::INTEGER AS bin
        FROM {rows} WHERE {PICTURED} AND isfinite({score}) GROUP BY ALL"""
    counts: Counter[tuple[Any, ...]] = Counter()
    for row in ask(sql).to_pylist():
        counts[row["edit"], row["ok"], row["bin"]] = row["n"]
    for edit in spreads:
        passed, rejected = (tuple(counts[edit, ok, each] for each in range(BINS)) for ok in (True, False))
        found[edit].histograms[score] = Histogram(low, high, passed, rejected)


def _round_ends(low: float, high: float) -> tuple[float, float]:
    """Ends a little further out that are short numbers."""
    span = max(high - low, NARROW)
    unit = 10.0 ** math.floor(math.log10(span)) / 10
    return math.floor(low / unit) * unit, (math.floor(high / unit) + 1) * unit


def _layers_sql(rows: str) -> str:
    return f"""SELECT edit, layer, avg(area) AS mean, approx_quantile(area, [0.05, 0.95]) AS ends
        FROM (SELECT edit, unnest(layer_areas) AS area, generate_subscripts(layer_areas, 1) AS layer
              FROM {rows} WHERE {PICTURED})
        WHERE isfinite(area) GROUP BY edit, layer ORDER BY edit, layer"""
