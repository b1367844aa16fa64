"""Rows to Parquet files in a temporary directory, one row group at a time, checked at the end, never partly visible.

Nothing is uploaded here. A part gets the name .parquet only after its footer and counts were read back. An exception
inside the with-block removes everything, because pyarrow closes an unfinished file as a valid one that lacks rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.parquet.schema import LOW_CARDINALITY, PAYLOAD

MIB = 1 << 20
SCALAR_GROUP_ROWS = 122_880  # least rows of a row group without payload: readers parallelise over groups
SCALAR_GROUP_GROWTH = 4  # ... unless the group would exceed this many times row_group_bytes
FOOTER_MARGIN = 64 * 1024  # bytes of a part kept free for page headers and the footer

Row = Mapping[str, object]


@dataclass(frozen=True)
class LocalPart:
    """A finished, checked Parquet file that is not uploaded yet."""

    path: Path
    rows: int
    size: int  # bytes
    sha256: str
    row_groups: tuple[int, ...]  # rows of each


class PartWriter:
    """Writes rows of one schema to directory/stem-<n>.parquet; close() returns the finished parts.

    Memory holds one row group and the batch that is written. Without rows there is no part.
    """

    def __init__(
        self,
        schema: pa.Schema,
        directory: Path,
        stem: str,
        max_part_bytes: int = 512 * MIB,
        row_group_bytes: int = 64 * MIB,
    ) -> None:
        if not 0 < row_group_bytes <= max_part_bytes:
            raise ValueError(
                f"row_group_bytes is {row_group_bytes} and max_part_bytes {max_part_bytes}; "
                "a row group must be positive and fit into a part"
            )
        self.schema, self.directory, self.stem = schema, directory, stem
        self.max_part_bytes, self.row_group_bytes = max_part_bytes, row_group_bytes
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = self._pending_rows = 0
        self._open: _OpenPart | None = None
        self._finished: list[LocalPart] = []
        self._closed = False

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    @property
    def open_bytes(self) -> int:
        """Bytes written so far of the part that is not full yet."""
        return 0 if self._open is None else self._open.size

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows. A column that a row lacks is null; a column that the schema lacks is a ValueError."""
        self._append(_batch(rows, self.schema))

    def write_batch(self, batch: pa.RecordBatch, columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """Append the rows of an Arrow batch; `columns` replaces columns of the batch or adds to them.

        A column that neither has is null; a column that the schema lacks is a ValueError.
        """
        self._append(_with_columns(batch, columns or {}, self.schema))

    def _append(self, batch: pa.RecordBatch) -> None:
        if self._closed:
            raise ValueError(f"the writer of {self.stem!r} is closed; rows cannot be added to finished parts")
        while batch.num_rows:
            count = self._rows_that_fit(batch)
            self._buffer(batch.slice(0, count))
            batch = batch.slice(count)
            if self._is_full():
                self._flush()

    def close(self) -> tuple[LocalPart, ...]:
        """Finish and check the last part; all parts, in order. Calling it again returns the same."""
        if not self._closed:
            self._flush()
            self._finish_part()
            self._closed = True
        return tuple(self._finished)

    def discard(self) -> None:
        """Remove every file, finished or not."""
        self._closed = True
        self._clear_pending()
        if self._open is not None:
            self._open.discard()
            self._open = None
        for part in self._finished:
            part.path.unlink(missing_ok=True)
        self._finished = []

    def _rows_that_fit(self, batch: pa.RecordBatch) -> int:
        """The number of rows of the batch to add to the pending row group: at least one, all if they fit."""
        free = self._limit() - self._pending_bytes
        return min(batch.num_rows, max(1, free * batch.num_rows // max(1, batch.nbytes)))

    def _is_full(self) -> bool:
        if self._pending_bytes >= self._limit():
            return True
        return self._pending_bytes >= self.row_group_bytes and self._pending_rows >= SCALAR_GROUP_ROWS

    def _limit(self) -> int:
        if PAYLOAD.intersection(self.schema.names):
            return self.row_group_bytes
        return min(SCALAR_GROUP_GROWTH * self.row_group_bytes, self.max_part_bytes)

    def _buffer(self, batch: pa.RecordBatch) -> None:
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        self._pending_rows += batch.num_rows

    def _clear_pending(self) -> None:
        self._pending = []
        self._pending_bytes = self._pending_rows = 0

    def _flush(self) -> None:
        """Write the pending rows as one row group, into a new part if they do not fit into the open one."""
        if not self._pending:
            return
        if self._open is not None and self._open.size + self._pending_bytes + FOOTER_MARGIN > self.max_part_bytes:
            self._finish_part()
        if self._open is None:
            name = f"{self.stem}-{len(self._finished):04d}.parquet"
            self._open = _OpenPart(self.directory / name, self.schema)
        self._open.write_group(pa.Table.from_batches(self._pending, self.schema))
        self._clear_pending()

    def _finish_part(self) -> None:
        if self._open is not None:
            self._finished.append(self._open.finish())
            self._open = None


class _OpenPart:
    """One Parquet file being written under a temporary name."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.schema = path, schema
        self.partial = path.with_name(path.name + ".partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.row_groups: list[int] = []
        self._sink = pa.OSFile(str(self.partial), "wb")
        self._writer = pq.ParquetWriter(self._sink, schema, **_writer_options(schema))

    @property
    def size(self) -> int:
        """Bytes written so far, without the footer."""
        return int(self._sink.tell())

    def write_group(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=table.num_rows)
        self.row_groups.append(table.num_rows)
        pa.default_memory_pool().release_unused()  # a group of images is large, and the next one may come much later

    def finish(self) -> LocalPart:
        """Close, read the footer back, and give the file its name. OSError if it differs from what was written."""
        self._writer.close()
        self._sink.close()
        found = pq.read_metadata(self.partial)
        groups = [found.row_group(index).num_rows for index in range(found.num_row_groups)]
        if groups != self.row_groups or not found.schema.to_arrow_schema().equals(self.schema):
            raise OSError(f"{self.partial} was written with row groups {self.row_groups} and reads back as {groups}")
        with self.partial.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.partial.replace(self.path)
        return LocalPart(self.path, sum(groups), self.path.stat().st_size, sha256, tuple(groups))

    def discard(self) -> None:
        with contextlib.suppress(
            OSError, pa.ArrowException
        ):  # an error of a full disk must not replace the first error
            self._writer.close()
        self._sink.close()
        self.partial.unlink(missing_ok=True)


def _batch(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as Arrow columns. ValueError naming the column that is unknown or holds a value of another type."""
    _check_known({name for row in rows for name in row}, schema)
    columns = [_column([row.get(field.name) for row in rows], field) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _with_columns(batch: pa.RecordBatch, columns: Mapping[str, Sequence[object]], schema: pa.Schema) -> pa.RecordBatch:
    """The batch in the schema, with some columns taken from `columns`."""
    own = dict(zip(batch.schema.names, batch.columns, strict=True))
    _check_known({*own, *columns}, schema)
    nothing = [None] * batch.num_rows
    chosen = [columns.get(field.name, own.get(field.name, nothing)) for field in schema]
    arrays = [_column(values, field) for values, field in zip(chosen, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _check_known(names: set[str], schema: pa.Schema) -> None:
    unknown = names.difference(schema.names)
    if unknown:
        raise ValueError(f"unknown columns {sorted(unknown)}; the schema has {schema.names}")


def _column(values: Any, field: pa.Field) -> pa.Array:
    """Python values, or an Arrow array, with the type of the field."""
    try:
        column = values.cast(field.type) if isinstance(values, pa.Array) else pa.array(values, field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"column {field.name!r} must hold {field.type}: {error}") from error
    if isinstance(column, pa.ChunkedArray):
        raise ValueError(f"column {field.name!r} of {len(values)} rows exceeds 2 GiB; write fewer rows at a time")
    if column.null_count and not field.nullable:
        raise ValueError(
            f"column {field.name!r} is missing in {column.null_count} of {len(values)} rows; it is required"
        )
    return column


def _writer_options(schema: pa.Schema) -> dict[str, Any]:
    """Options of pq.ParquetWriter: scalars compressed and with statistics, payload without either."""
    paths = _column_paths(schema)
    scalars = [path for path in paths if path.split(".")[0] not in PAYLOAD]
    return {
        "compression": {path: "zstd" if path in scalars else "none" for path in paths},
        "use_dictionary": [path for path in scalars if path in LOW_CARDINALITY],
        "write_statistics": scalars,
        "write_page_index": True,
        "write_page_checksum": True,
    }


def _column_paths(schema: pa.Schema) -> list[str]:
    """The dotted paths of the Parquet columns, for the writer's options."""
    sink = io.BytesIO()
    pq.write_table(schema.empty_table(), sink)
    columns = pq.read_metadata(sink).schema
    return [columns.column(index).path for index in range(len(columns))]
