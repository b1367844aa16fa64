"""The manifest rows that an SQL condition chooses, source by source, a bounded number at a time.

Rows come in the order in which their images are stored in the data objects, so that a reader opens each object, and
reads each row group, once. A source is one input tar. One query returns the rows of several consecutive sources, never
all rows: sorting a whole manifest would take as much memory as the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from manifests.query import Ask, asking, sql_literal
from manifests.snapshot import Snapshot
from manifests.stores.store import Store

ROWS_AT_ONCE = 50_000
"""Most chosen rows that one query returns for several sources; a single source may have more."""


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

    def count_by(self, *columns: str) -> list[dict[str, Any]]:
        """The number of rows of each combination of values, as the column `rows`."""
        names = ", ".join(columns)
        return self.ask(
            f"SELECT {names}, count(*) AS rows FROM {self.chosen} GROUP BY {names} ORDER BY {names}"
        ).to_pylist()

    def rows(self, skip: int = 0) -> Iterator[dict[str, Any]]:
        """All columns of the chosen rows without the first `skip`, source by source.

        Errors: ValueError for a condition that chooses different rows in each query.
        """
        for first, last, expected in self._source_ranges():
            if expected <= skip:
                skip -= expected
                continue
            rows = self.ask(
                f"SELECT * FROM {self.chosen} WHERE source_uri BETWEEN {sql_literal(first)} AND {sql_literal(last)} "
                "ORDER BY source_uri, edit, request_id, image_uri, row_group, row"
            ).to_pylist()
            if len(rows) != expected:
                raise ValueError(
                    f"the condition chose {expected} rows first and {len(rows)} later; for a random share "
                    "use a condition that always chooses the same rows, such as hash(key) % 10 = 0"
                )
            yield from rows[skip:]
            skip = 0

    def _source_ranges(self) -> Iterator[tuple[str, str, int]]:
        """(first source, last source, rows) of the consecutive sources that one query returns."""
        cuts, rows = [0], 0
        for index, (_, count) in enumerate(self.counts):
            if rows and rows + count > ROWS_AT_ONCE:
                cuts.append(index)
                rows = 0
            rows += count
        for begin, end in pairwise([*cuts, len(self.counts)]):
            sources = self.counts[begin:end]
            if sources:
                yield sources[0][0], sources[-1][0], sum(count for _, count in sources)


@contextmanager
def select(store: Store, snapshot: Snapshot, *conditions: str) -> Iterator[Selection]:
    """The rows with an image for which every condition (SQL over the manifest's columns) is true.

    Errors: ValueError with DuckDB's message when a condition is wrong.
    """
    all_conditions = " AND ".join(f"(\n{condition}\n)" for condition in ("image_uri IS NOT NULL", *conditions))
    chosen = f"(SELECT * FROM manifest WHERE {all_conditions})"
    with asking(store, snapshot) as ask:
        for condition in conditions:
            _check_condition(ask, condition)
        found = ask(f"SELECT source_uri, count(*) AS rows FROM {chosen} GROUP BY source_uri ORDER BY source_uri")
        yield Selection(ask, chosen, tuple((row["source_uri"], row["rows"]) for row in found.to_pylist()))


def _check_condition(ask: Ask, condition: str) -> None:
    """ValueError for text that is valid SQL only between our parentheses, because it closes them itself."""
    try:
        ask(f"EXPLAIN SELECT 1 FROM manifest WHERE\n{condition}")
    except ValueError as error:
        example = "direction > 0.1 AND split = 'train'"
        raise ValueError(
            f"{condition!r} by itself is no condition over the manifest's columns, as {example} is: {error}"
        ) from error
