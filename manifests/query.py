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

_SANDBOX = {
    "enable_external_access": "false",  # no files, no network, no ATTACH, no COPY
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # Python variables are not tables
    "lock_configuration": "true",
}
_READ_STATEMENTS = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI})


HAS_IMAGE = "status IN ('ok', 'rejected')"
"""SQL: the rows with an edited image."""

Ask = Callable[[str], pa.Table]
"""The result of one SELECT over the table `manifest`. ValueError with DuckDB's message when the SQL is wrong."""


def _manifest(store: Store, snapshot: Snapshot | None = None) -> pads.Dataset:
    """The rows of a snapshot (None: the current one), in MANIFEST_SCHEMA; empty before the first publish."""
    keys = [part.key for part in (snapshot or read_snapshot(store)).parts]
    if not keys:
        return pads.dataset(MANIFEST_SCHEMA.empty_table())
    filesystem, parquet = filesystem_of(store), pads.ParquetFileFormat()
    # One fragment per key: pyarrow lists no folder and opens no file to find them.
    fragments = [parquet.make_fragment(key, filesystem) for key in keys]
    return _SingleThreadedDataset(fragments, MANIFEST_SCHEMA, parquet, filesystem)


class _SingleThreadedDataset(pads.FileSystemDataset):
    """The dataset that DuckDB scans in its own threads, without Arrow's scanner.

    Arrow's scanner reads ahead in its own threads. They call our Store and so need Python's interpreter lock, which
    to_reader() holds: with pyarrow 26 this is a deadlock. They also go on after the query has ended; if the
    interpreter ends meanwhile, the process aborts. The cost of this class: nothing is read ahead, and every column of
    a row group is a separate request to a bucket.
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
    def _needed_columns(self) -> list[str]:
        """The selected columns and those that the condition uses."""
        empty, names = self.dataset.schema.empty_table(), list(self.dataset.schema.names)
        return [name for name in names if name in self.columns or not self._is_independent_of(name, empty)]

    def _is_independent_of(self, name: str, empty: pa.Table) -> bool:
        if self.condition is None:
            return True
        try:
            empty.drop_columns([name]).filter(self.condition)
        except pa.ArrowInvalid:  # "No match for FieldRef"; an expression has no method that lists its fields
            return False
        return True

    def _batches(self) -> Iterator[pa.RecordBatch]:
        columns = self._needed_columns
        for fragment in self.dataset.get_fragments():
            found = fragment if self.condition is None else fragment.subset(self.condition, self.dataset.schema)
            groups = [group.id for group in found.row_groups]
            with fragment.filesystem.open_input_file(fragment.path) as source:
                file = pq.ParquetFile(source, metadata=fragment.metadata, pre_buffer=False)
                for batch in file.iter_batches(row_groups=groups, columns=columns, use_threads=False):
                    table = with_schema(batch, self.dataset.schema, columns)
                    kept = table if self.condition is None else table.filter(self.condition)
                    yield from kept.select(self.columns).to_batches()


def with_schema(batch: pa.RecordBatch, schema: pa.Schema, columns: list[str]) -> pa.Table:
    """The columns with the types of the schema; nulls for columns that a file of an earlier version lacks."""
    present, count = set(batch.schema.names), batch.num_rows
    schema = pa.schema([schema.field(name) for name in columns])
    arrays = [batch[f.name].cast(f.type) if f.name in present else pa.nulls(count, f.type) for f in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def query(store: Store, sql: str) -> pa.Table:
    """The result of one SELECT over the table `manifest`. ValueError with DuckDB's message when the SQL is wrong."""
    with asking(store) as ask:
        return ask(sql)


@contextmanager
def asking(store: Store, snapshot: Snapshot | None = None) -> Iterator[Ask]:
    """For several queries over the same snapshot, also if another one is published meanwhile."""
    with duckdb.connect(":memory:", config=_SANDBOX) as connection:
        connection.register("manifest", _manifest(store, snapshot))

        def ask(sql: str) -> pa.Table:
            try:
                _check_read_only(connection, sql)
                return connection.sql(sql).to_arrow_table()
            except duckdb.Error as error:
                raise ValueError(f"the query failed: {error}") from error

        yield ask


def sql_literal(text: str) -> str:
    """The text as a quoted SQL string."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _check_read_only(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    kinds = [statement.type for statement in connection.extract_statements(sql)]
    if len(kinds) != 1 or kinds[0] not in _READ_STATEMENTS:
        given = [kind.name for kind in kinds] or "nothing"
        raise ValueError(f"a query is one SELECT over the table 'manifest'; given {given} in {sql!r}")
