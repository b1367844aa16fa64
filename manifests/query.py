"""SQL on the manifest: one SELECT at a time, by DuckDB, over exactly the files of one version."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from manifests.stores.store import Store
from manifests.stores.temporary import owned_folder, sweep
from manifests.table import Manifest, open_manifest

_SANDBOX = {
    "enable_external_access": "false",  # no files, no network, no ATTACH, no COPY
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # Python variables are not tables
    "memory_limit": "2GB",  # beyond it, sorts and groups use the temporary folder
}
_READ_STATEMENTS = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI})
BATCH_ROWS = 2048
_SCRATCH = "coral-query-"

HAS_IMAGE = "status IN ('ok', 'rejected')"
"""SQL: the rows with an edited image."""

Ask = Callable[[str], pa.Table]
"""The result of one SELECT over the table `manifest`. ValueError with DuckDB's message when the SQL is wrong."""


def query(store: Store, sql: str, manifest: Manifest | None = None) -> pa.Table:
    """The result of one SELECT over the table `manifest`. ValueError with DuckDB's message when the SQL is wrong."""
    with asking(store, manifest) as ask:
        return ask(sql)


@contextmanager
def asking(store: Store, manifest: Manifest | None = None) -> Iterator[Ask]:
    """For several queries over one version (None: the current one), also if another one is published meanwhile."""
    with connected(store, manifest) as connection:
        yield connection.ask


@contextmanager
def connected(store: Store, manifest: Manifest | None = None) -> Iterator[Connection]:
    """As asking(), for results of any size too."""
    scratch = Path(tempfile.gettempdir())
    sweep(scratch.glob(f"{_SCRATCH}*"))
    with (
        owned_folder(scratch, _SCRATCH) as folder,
        duckdb.connect(":memory:", config={**_SANDBOX, "temp_directory": str(folder)}) as database,
    ):
        database.execute("SET enable_progress_bar = false; SET lock_configuration = true")
        yield Connection(database, open_manifest(store) if manifest is None else manifest)


class Connection:
    """SQL over one version of the manifest."""

    def __init__(self, database: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
        self._database, self._manifest = database, manifest
        self._options = manifest.store.client().options
        database.register("manifest", manifest.dataset)

    def ask(self, sql: str) -> pa.Table:
        """The result of one SELECT. ValueError with DuckDB's message when the SQL is wrong."""
        return self._result(sql, lambda relation: relation.to_arrow_table())

    def stream(self, sql: str) -> Iterator[dict[str, Any]]:
        """The rows of one SELECT, until the next query. ValueError as for ask()."""
        for batch in self._result(sql, lambda relation: relation.to_arrow_reader(BATCH_ROWS)):
            yield from batch.to_pylist()

    def _result(self, sql: str, read: Callable[[duckdb.DuckDBPyRelation], Any]) -> Any:
        self._renew_credentials()
        try:
            _check_read_only(self._database, sql)
            return read(self._database.sql(sql))
        except duckdb.Error as error:
            raise ValueError(f"the query failed: {error}") from error

    def _renew_credentials(self) -> None:
        """Open the version again if its bucket's credentials are other ones by now."""
        options = self._manifest.store.client().options
        if options != self._options and self._manifest.delta is not None:
            self._options = options
            self._manifest = open_manifest(self._manifest.store, self._manifest.version)
            self._database.register("manifest", self._manifest.dataset)


def sql_literal(text: str) -> str:
    """The text as a quoted SQL string."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _check_read_only(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    kinds = [statement.type for statement in connection.extract_statements(sql)]
    if len(kinds) != 1 or kinds[0] not in _READ_STATEMENTS:
        given = [kind.name for kind in kinds] or "nothing"
        raise ValueError(f"a query is one SELECT over the table 'manifest'; given {given} in {sql!r}")
