"""The published manifest as one table: a pyarrow dataset over exactly the parts of the snapshot, and SQL on it."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from manifests.filesystem import filesystem_of
from manifests.schema import MANIFEST_SCHEMA
from manifests.snapshot import read_snapshot
from manifests.store import Store

_SEALED = {
    "enable_external_access": "false",  # no files, no network, no ATTACH, no COPY
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # our variables are not tables
    "lock_configuration": "true",
}
_READING = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI})


def manifest_dataset(store: Store) -> pads.Dataset:
    """The rows of the current snapshot, in MANIFEST_SCHEMA; empty before the first publish."""
    keys = [part.key for part in read_snapshot(store).parts]
    if not keys:
        return pads.dataset(MANIFEST_SCHEMA.empty_table())
    filesystem, parquet = filesystem_of(store), pads.ParquetFileFormat()
    fragments = [
        parquet.make_fragment(key, filesystem) for key in keys
    ]  # named one by one: nothing is listed or probed
    return pads.FileSystemDataset(fragments, MANIFEST_SCHEMA, parquet, filesystem)


def query(store: Store, sql: str) -> pa.Table:
    """The result of one SELECT over the table `manifest`. ValueError with DuckDB's message when the SQL is wrong."""
    try:
        with duckdb.connect(":memory:", config=_SEALED) as connection:
            _check_reading(connection, sql)
            connection.register("manifest", manifest_dataset(store))
            return connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        raise ValueError(f"the query failed: {error}") from error


def _check_reading(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    kinds = [statement.type for statement in connection.extract_statements(sql)]
    if len(kinds) != 1 or kinds[0] not in _READING:
        given = [kind.name for kind in kinds] or "nothing"
        raise ValueError(f"a query is one SELECT over the table 'manifest'; given {given} in {sql!r}")
