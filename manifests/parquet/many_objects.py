"""Many small Parquet objects read together, in DuckDB's threads: several times faster than one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from manifests.stores.store import Store

FETCHERS = 16


@contextmanager
def many_objects(store: Store, scratch: Path) -> Iterator[ManyObjects]:
    """A reader of a store's objects, with files below the scratch folder until the block is left."""
    with ThreadPoolExecutor(FETCHERS) as pool, duckdb.connect(":memory:") as database:
        database.execute("SET enable_progress_bar = false; SET enable_external_file_cache = false")
        yield ManyObjects(store, scratch, pool, database)


class ManyObjects:
    """Reads objects of one schema, as the rows of small requests."""

    def __init__(
        self, store: Store, scratch: Path, pool: ThreadPoolExecutor, database: duckdb.DuckDBPyConnection
    ) -> None:
        self._store, self._pool, self._database = store, pool, database
        self._root = scratch / "objects"  # a name without characters that DuckDB takes for a pattern
        client = store.client()
        self._is_local = not client.options
        if self._is_local:
            self._root.symlink_to(client.uri)

    def read(self, keys: Sequence[str]) -> tuple[pa.Table, list[int]]:
        """The rows of the objects in the given order, and the number of rows of each.

        Errors: FileNotFoundError for a missing object; ValueError for one that is no Parquet file, or has no rows.
        """
        paths = list(self._pool.map(self._local, keys))
        try:
            found = self._database.read_parquet(
                [str(path) for path in paths], filename=True, file_row_number=True, hive_partitioning=False
            ).to_arrow_table()
        except duckdb.Error as error:
            raise ValueError(f"the objects {keys[0]!r} to {keys[-1]!r} cannot be read together: {error}") from error
        starts = np.flatnonzero(found["file_row_number"].to_numpy() == 0)
        if found["filename"].take(starts).to_pylist() != [str(path) for path in paths]:
            raise ValueError(f"one of the objects {keys[0]!r} to {keys[-1]!r} has no rows")
        if not self._is_local:
            for path in paths:
                path.unlink()
        return found.drop_columns(["filename", "file_row_number"]), np.diff([*starts, found.num_rows]).tolist()

    def _local(self, key: str) -> Path:
        path = self._root / key
        if not self._is_local:
            self._store.fetch(key, path)
        elif not path.is_file():
            raise FileNotFoundError(f"no object {key!r} in the store {self._store}")
        return path
