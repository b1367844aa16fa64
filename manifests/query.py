"""The published manifest as one table: a pyarrow dataset over exactly the parts of the snapshot, and SQL on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from manifests.parquet.filesystem import filesystem_of
from manifests.parquet.schema import MANIFEST_SCHEMA
from manifests.snapshot import Snapshot, read_snapshot
from manifests.stores.store import Store

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


def _manifest(store: Store, snapshot: Snapshot | None = None) -> pads.Dataset:
    """The rows of a snapshot (None: the current one), in MANIFEST_SCHEMA; empty before the first publish."""
    keys = [part.key for part in (snapshot or read_snapshot(store)).parts]
    if not keys:
        return pads.dataset(MANIFEST_SCHEMA.empty_table())
    filesystem, parquet = filesystem_of(store), pads.ParquetFileFormat()
    fragments = [
        parquet.make_fragment(key, filesystem) for key in keys
    ]  # named one by one: nothing is listed or probed
    return _Steady(fragments, MANIFEST_SCHEMA, parquet, filesystem)


class _Steady(pads.FileSystemDataset):
    """The dataset as DuckDB scans it: by DuckDB's threads, never by Arrow's.

    Arrow's own scanner reads ahead in threads of its own. Those call our Store, and so need Python's lock, while
    to_reader() holds it (pyarrow 26: nothing ever moves again), and still do so for a query that had its rows and
    ended, up to an interpreter that ends as well (the process aborts). The price: nothing is fetched ahead, and
    every column of a row group is a request of its own to a bucket.
    """

    def scanner(self, *, columns: list[str] | None = None, filter: pads.Expression | None = None, **rest: Any) -> Any:
        return _Scan(self, list(self.schema.names) if columns is None else columns, filter)


@dataclass(frozen=True)
class _Scan:
    dataset: pads.FileSystemDataset
    columns: list[str]
    condition: pads.Expression | None

    @property
    def projected_schema(self) -> pa.Schema:
        return pa.schema([self.dataset.schema.field(name) for name in self.columns])

    def to_reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self.projected_schema, self._batches())

    @property
    def _read(self) -> list[str]:
        """The columns that are asked for or that the condition looks at."""
        empty, names = self.dataset.schema.empty_table(), list(self.dataset.schema.names)
        return [name for name in names if name in self.columns or not self._holds_without(name, empty)]

    def _holds_without(self, name: str, empty: pa.Table) -> bool:
        if self.condition is None:
            return True
        try:
            empty.drop_columns([name]).filter(self.condition)
        except pa.ArrowInvalid:  # "No match for FieldRef": an expression does not tell its fields in another way
            return False
        return True

    def _batches(self) -> Iterator[pa.RecordBatch]:
        columns = self._read
        for fragment in self.dataset.get_fragments():
            found = fragment if self.condition is None else fragment.subset(self.condition, self.dataset.schema)
            groups = [group.id for group in found.row_groups]
            with fragment.filesystem.open_input_file(fragment.path) as source:
                file = pq.ParquetFile(source, metadata=fragment.metadata, pre_buffer=False)
                for batch in file.iter_batches(row_groups=groups, columns=columns, use_threads=False):
                    table = conformed(batch, self.dataset.schema, columns)
                    kept = table if self.condition is None else table.filter(self.condition)
                    yield from kept.select(self.columns).to_batches()


def conformed(batch: pa.RecordBatch, schema: pa.Schema, columns: list[str]) -> pa.Table:
    """The columns in their types; nulls for those that a file of an earlier version lacks."""
    there, count = set(batch.schema.names), batch.num_rows
    schema = pa.schema([schema.field(name) for name in columns])
    arrays = [batch[f.name].cast(f.type) if f.name in there else pa.nulls(count, f.type) for f in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def query(store: Store, sql: str) -> pa.Table:
    """The result of one SELECT over the table `manifest`. ValueError with DuckDB's message when the SQL is wrong."""
    with asking(store) as ask:
        return ask(sql)


@contextmanager
def asking(store: Store, snapshot: Snapshot | None = None) -> Iterator[Ask]:
    """For several questions about the same rows, whatever is published meanwhile."""
    with duckdb.connect(":memory:", config=_SEALED) as connection:
        connection.register("manifest", _manifest(store, snapshot))

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
