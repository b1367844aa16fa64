"""The manifest rows that an SQL condition chooses, in the order in which their images are stored in the data objects.

A reader then opens each object, and reads each row group, once. The rows of one source, which is one input tar, are
adjacent. DuckDB sorts them, on disk if they are many.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from manifests.query import Ask, Connection, connected
from manifests.stores.store import Store
from manifests.table import Manifest


@dataclass(frozen=True)
class Selection:
    """The chosen rows of one version."""

    connection: Connection
    chosen: str  # a subquery
    total: int  # chosen rows

    def count_by(self, *columns: str) -> list[dict[str, Any]]:
        """The number of rows of each combination of values, as the column `rows`."""
        names = ", ".join(columns)
        sql = f"SELECT {names}, count(*) AS rows FROM {self.chosen} GROUP BY {names} ORDER BY {names}"
        return self.connection.ask(sql).to_pylist()

    def rows(self, skip: int = 0) -> Iterator[dict[str, Any]]:
        """All columns of the chosen rows without the first `skip`; valid until count_by() is called.

        Errors: ValueError for a condition that chooses another number of rows in each query.
        """
        order, count = "source_uri, edit, request_id, image_uri, row_group, row", 0
        for count, row in enumerate(self.connection.stream(f"SELECT * FROM {self.chosen} ORDER BY {order}"), 1):
            if skip < count <= self.total:
                yield row
        if count != self.total:
            raise ValueError(
                f"the condition chose {self.total} rows first and {count} later; for a random share "
                "use a condition that always chooses the same rows, such as hash(key) % 10 = 0"
            )


@contextmanager
def select(store: Store, manifest: Manifest, *conditions: str) -> Iterator[Selection]:
    """The rows with an image for which every condition (SQL over the manifest's columns) is true.

    Errors: ValueError with DuckDB's message when a condition is wrong.
    """
    all_conditions = " AND ".join(f"(\n{condition}\n)" for condition in ("image_uri IS NOT NULL", *conditions))
    chosen = f"(SELECT * FROM manifest WHERE {all_conditions})"
    with connected(store, manifest) as connection:
        for condition in conditions:
            _check_condition(connection.ask, condition)
        yield Selection(connection, chosen, connection.ask(f"SELECT count(*) AS n FROM {chosen}")["n"][0].as_py())


def _check_condition(ask: Ask, condition: str) -> None:
    """ValueError for text that is valid SQL only between our parentheses, because it closes them itself."""
    try:
        ask(f"EXPLAIN SELECT 1 FROM manifest WHERE\n{condition}")
    except ValueError as error:
        example = "direction > 0.1 AND split = 'train'"
        raise ValueError(
            f"{condition!r} by itself is no condition over the manifest's columns, as {example} is: {error}"
        ) from error
