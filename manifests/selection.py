"""The manifest rows that an SQL condition chooses, source by source, a bounded number at a time.

Rows come in the order in which their images lie in the data objects, so that a reader who follows them opens each
object, and reads each row group, once. A source is one input tar; its rows are asked for together with those of its
neighbours, never all at once: sorting a whole manifest would take as much memory as the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from manifests.query import Ask, asking, quoted
from manifests.snapshot import Snapshot
from manifests.stores.store import Store

ROWS_AT_ONCE = 50_000
"""Sources are taken together until they have so many chosen rows; one source alone may have more."""


@dataclass(frozen=True)
class Selection:
    """The chosen rows of one snapshot."""

    ask: Ask
    chosen: str  # a subquery
    counts: tuple[tuple[str, int], ...]  # source_uri and its chosen rows, in the order of the uris

    @property
    def total(self) -> int:
        """Chosen rows."""
        return sum(rows for _, rows in self.counts)

    def tally(self, *columns: str) -> list[dict[str, Any]]:
        """How many rows there are of each combination of values, as the column `rows`."""
        names = ", ".join(columns)
        return self.ask(
            f"SELECT {names}, count(*) AS rows FROM {self.chosen} GROUP BY {names} ORDER BY {names}"
        ).to_pylist()

    def rows(self, skip: int = 0) -> Iterator[dict[str, Any]]:
        """All columns of the chosen rows without the first `skip`, source by source.

        Errors: ValueError for a condition that chooses other rows each time it is asked.
        """
        for first, last, expected in self._stretches():
            if expected <= skip:
                skip -= expected
                continue
            rows = self.ask(
                f"SELECT * FROM {self.chosen} WHERE source_uri BETWEEN {quoted(first)} AND {quoted(last)} "
                "ORDER BY source_uri, edit, request_id, image_uri, row_group, row"
            ).to_pylist()
            if len(rows) != expected:
                raise ValueError(
                    f"the condition chose {expected} rows first and {len(rows)} later; for a random share "
                    "use something that stays the same, such as hash(key) % 10 = 0"
                )
            yield from rows[skip:]
            skip = 0

    def _stretches(self) -> Iterator[tuple[str, str, int]]:
        """(first source, last source, rows) of neighbours that are asked for together."""
        cuts, rows = [0], 0
        for index, (_, count) in enumerate(self.counts):
            if rows and rows + count > ROWS_AT_ONCE:
                cuts.append(index)
                rows = 0
            rows += count
        for begin, end in pairwise([*cuts, len(self.counts)]):
            share = self.counts[begin:end]
            if share:
                yield share[0][0], share[-1][0], sum(count for _, count in share)


@contextmanager
def select(store: Store, snapshot: Snapshot, *conditions: str) -> Iterator[Selection]:
    """The rows with an image for which every condition, SQL over the manifest's columns, holds.

    Errors: ValueError with DuckDB's message when a condition is wrong.
    """
    together = " AND ".join(f"(\n{condition}\n)" for condition in ("image_uri IS NOT NULL", *conditions))
    chosen = f"(SELECT * FROM manifest WHERE {together})"
    with asking(store, snapshot) as ask:
        for condition in conditions:
            _check_alone(ask, condition)
        found = ask(f"SELECT source_uri, count(*) AS rows FROM {chosen} GROUP BY source_uri ORDER BY source_uri")
        yield Selection(ask, chosen, tuple((row["source_uri"], row["rows"]) for row in found.to_pylist()))


def _check_alone(ask: Ask, condition: str) -> None:
    """ValueError for what is a condition between our parentheses only: it closes them and goes on behind them."""
    try:
        ask(f"EXPLAIN SELECT 1 FROM manifest WHERE\n{condition}")
    except ValueError as error:
        example = "direction > 0.1 AND split = 'train'"
        raise ValueError(
            f"{condition!r} by itself is no condition over the manifest's columns, as {example} is: {error}"
        ) from error
