"""The numbers of a report, from a few SQL aggregations over the published rows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manifests.query import HAS_IMAGE, Ask, sql_literal
from pipelines.report.score_labels import SCORES

BINS = 36
NARROW = 1e-3
"""Smallest width of a histogram in units of the score, because smaller differences are not significant."""
REASONS = 60
"""Largest number of different reasons on a page; the most frequent ones are listed."""


@dataclass(frozen=True)
class Quantiles:
    """Minimum, maximum and quantiles of one score of one edit."""

    low: float
    p5: float  # 5 % of the values are lower
    median: float
    p95: float
    high: float


@dataclass(frozen=True)
class Histogram:
    """Numbers of rows in BINS equal bins from low to high. All edits of a report have the same low and high."""

    low: float
    high: float
    passed: tuple[int, ...]
    rejected: tuple[int, ...]


@dataclass(frozen=True)
class LayerArea:
    """Mask area of one layer of an edit, 0 to 1: mean, 5 % and 95 % quantile over its rows."""

    mean: float
    p5: float
    p95: float


@dataclass(frozen=True)
class Reason:
    """A reason why rows have no image."""

    status: str
    reason: str
    rows: int
    edits: int  # that have such rows
    key: str  # of one such row


@dataclass
class EditFigures:
    """The numbers of one edit."""

    statuses: Counter[str] = field(default_factory=Counter)
    gates: Counter[str] = field(default_factory=Counter)  # rejected rows by gate
    quantiles: dict[str, Quantiles] = field(default_factory=dict)  # by score
    histograms: dict[str, Histogram] = field(default_factory=dict)
    layers: list[LayerArea] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Number of rows of all statuses."""
        return sum(self.statuses.values())


def chosen_rows(ask: Ask, edits: Sequence[str], requests: frozenset[str]) -> str:
    """SQL subquery for the published rows of these edits and requests."""
    if not edits:
        return "(SELECT * FROM manifest WHERE false)"
    named = f"edit IN ({', '.join(map(sql_literal, edits))})"
    found = ask(f"SELECT DISTINCT request_id FROM manifest WHERE {named}").to_pylist()
    others = [row["request_id"] for row in found if row["request_id"] not in requests]
    without = f" AND request_id NOT IN ({', '.join(map(sql_literal, others))})" if others else ""
    return f"(SELECT * FROM manifest WHERE {named}{without})"


def edit_figures(ask: Ask, rows: str, thresholds: Mapping[str, Iterable[float]]) -> dict[str, EditFigures]:
    """The numbers by edit id. The histogram of a score includes its `thresholds`."""
    found: defaultdict[str, EditFigures] = defaultdict(EditFigures)
    for row in ask(f"SELECT edit, status, gate, count(*) AS n FROM {rows} GROUP BY ALL").to_pylist():
        found[row["edit"]].statuses[row["status"]] += row["n"]
        if row["gate"]:
            found[row["edit"]].gates[row["gate"]] += row["n"]
    for name in SCORES:
        _read_quantiles(ask, rows, name, found)
        _read_histograms(ask, rows, name, found, thresholds.get(name, ()))
    for row in ask(_layers_sql(rows)).to_pylist():
        found[row["edit"]].layers.append(LayerArea(row["mean"], *row["ends"]))
    return dict(found)


def failure_reasons(ask: Ask, rows: str) -> list[Reason]:
    """The reasons why rows have no image, the most frequent first."""
    sql = f"""SELECT status, coalesce(reason, '') AS reason,
        count(*) AS rows, count(DISTINCT edit) AS edits, min(key) AS key
        FROM {rows} WHERE NOT {HAS_IMAGE} GROUP BY status, reason ORDER BY rows DESC, status, reason LIMIT {REASONS}"""
    return [Reason(**row) for row in ask(sql).to_pylist()]


def _read_quantiles(ask: Ask, rows: str, score: str, found: Mapping[str, EditFigures]) -> None:
    sql = f"""SELECT edit, min({score}) AS low, max({score}) AS high,
        approx_quantile({score}, [0.05, 0.5, 0.95]) AS ends
        FROM {rows} WHERE {HAS_IMAGE} AND isfinite({score}) GROUP BY edit"""
    for row in ask(sql).to_pylist():
        p5, median, p95 = row["ends"]
        found[row["edit"]].quantiles[score] = Quantiles(row["low"], p5, median, p95, row["high"])


def _read_histograms(
    ask: Ask, rows: str, score: str, found: Mapping[str, EditFigures], thresholds: Iterable[float]
) -> None:
    quantiles = {edit: figures.quantiles[score] for edit, figures in found.items() if score in figures.quantiles}
    if not quantiles:
        return
    ends = [*thresholds, *(end for each in quantiles.values() for end in (each.low, each.high))]
    low, high = _round_ends(min(ends), max(ends))
    sql = f"""SELECT edit, status = 'ok' AS ok, count(*) AS n,
        least({BINS - 1}, greatest(0, floor(({score} - ({low})) / ({high - low}) * {BINS})))::INTEGER AS bin
        FROM {rows} WHERE {HAS_IMAGE} AND isfinite({score}) GROUP BY ALL"""
    counts: Counter[tuple[Any, ...]] = Counter()
    for row in ask(sql).to_pylist():
        counts[row["edit"], row["ok"], row["bin"]] = row["n"]
    for edit in quantiles:
        passed, rejected = (tuple(counts[edit, ok, each] for each in range(BINS)) for ok in (True, False))
        found[edit].histograms[score] = Histogram(low, high, passed, rejected)


def _round_ends(low: float, high: float) -> tuple[float, float]:
    """Slightly wider limits that are short numbers."""
    span = max(high - low, NARROW)
    unit = 10.0 ** math.floor(math.log10(span)) / 10
    return math.floor(low / unit) * unit, (math.floor(high / unit) + 1) * unit


def _layers_sql(rows: str) -> str:
    return f"""SELECT edit, layer, avg(area) AS mean, approx_quantile(area, [0.05, 0.95]) AS ends
        FROM (SELECT edit, unnest(layer_areas) AS area, generate_subscripts(layer_areas, 1) AS layer
              FROM {rows} WHERE {HAS_IMAGE})
        WHERE isfinite(area) GROUP BY edit, layer ORDER BY edit, layer"""
