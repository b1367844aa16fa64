"""The published manifest as one table: a pyarrow dataset over exactly the parts of the snapshot, and SQL on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from manifests.filesystem import filesystem_of
from manifests.schema import MANIFEST_SCHEMA
from manifests.snapshot import Snapshot, read_snapshot
from manifests.store import Store

_SEALED = {
    "enable_external_access": "false",  # no files, no network, no ATTACH, no COPY
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # our variables are not tables
    "lock_configuration": "true",
}
_READING = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI})


PICTURED = "status IN ('ok', 'rejected')"
"""SQL: the rows with an edited image."""

Ask = Callable[[str], pa.Table]
"""The result of one SELECT over the table `manifest`. ValueError with DuckDB's message when the SQL is wrong."""


class Unlocked(pads.FileSystemDataset):
    """The dataset as DuckDB scans it, without holding Python's lock while Arrow's threads begin.

    pyarrow 26 keeps the lock in Scanner.to_reader(), where Arrow may wait for a thread of its own that in turn waits
    for that lock to let go of the bytes our Store has read: then nothing ever moves again.
    """

    def scanner(self, **given: Any) -> Any:
        return _UnlockedScanner(super().scanner(**given))


@dataclass(frozen=True)
class _UnlockedScanner:
    scanner: pads.Scanner

    def to_reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self.scanner.projected_schema, self.scanner.to_batches())


def manifest_dataset(
    store: Store, snapshot: Snapshot | None = None, kind: type[pads.FileSystemDataset] = pads.FileSystemDataset
) -> pads.Dataset:
    """The rows of a snapshot (None: the current one), in MANIFEST_SCHEMA; empty before the first publish."""
    keys = [part.key for part in (snapshot or read_snapshot(store)).parts]
    if not keys:
        return pads.dataset(MANIFEST_SCHEMA.empty_table())
    filesystem, parquet = filesystem_of(store), pads.ParquetFileFormat()
    fragments = [
        parquet.make_fragment(key, filesystem) for key in keys
    ]  # named one by one: nothing is listed or probed
    return kind(fragments, MANIFEST_SCHEMA, parquet, filesystem)


def query(store: Store, sql: str) -> pa.Table:
    """The result of one SELECT over the table `manifest`. ValueError with DuckDB's message when the SQL is wrong."""
    with asking(store) as ask:
        return ask(sql)


@contextmanager
def asking(store: Store, snapshot: Snapshot | None = None) -> Iterator[Ask]:
    """For several questions about the same rows, whatever is published meanwhile."""
    with duckdb.connect(":memory:", config=_SEALED) as connection:
        connection.register("manifest", manifest_dataset(store, snapshot, Unlocked))

        def ask(sql: str) -> pa.Table:
            try:
                _check_reading(connection, sql)
                return connection.sql(sql).to_arrow_table()
            except duckdb.Error as error:
                raise ValueError(f"the query failed: {error}") from error

        yield ask


def quoted(text: str) -> str:
    """The text as SQL has it."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _check_reading(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    kinds = [statement.type for statement in connection.extract_statements(sql)]
    if len(kinds) != 1 or kinds[0] not in _READING:
        given = [kind.name for kind in kinds] or "nothing"
        raise ValueError(f"a query is one SELECT over the table 'manifest'; given {given} in {sql!r}")
