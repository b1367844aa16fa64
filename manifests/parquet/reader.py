"""Rows of a Parquet object, one bounded batch at a time, by byte ranges from any store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.parquet.filesystem import ObjectFile
from manifests.stores.store import Store

MAX_WHOLE_READ_BYTES = 1 << 20
"""Objects up to this size are read in one request: that is faster than one each for the footer and the columns."""


def read_batches(
    store: Store, key: str, columns: Sequence[str] | None = None, batch_rows: int = 1024
) -> Iterator[pa.RecordBatch]:
    """The object's rows in order, only the named columns. ValueError for an unknown column."""
    with open_parquet(store, key) as file:
        wanted = list(file.schema_arrow.names if columns is None else columns)
        unknown = set(wanted).difference(file.schema_arrow.names)
        if unknown:
            raise ValueError(f"{key!r} has no columns {sorted(unknown)}; it has {file.schema_arrow.names}")
        yield from file.iter_batches(batch_size=batch_rows, columns=wanted)


def read_rows(store: Store, key: str, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The object's rows as dictionaries, in order."""
    for batch in read_batches(store, key, columns):
        yield from batch.to_pylist()


def read_row_group(store: Store, key: str, row_group: int, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of one row group, such as that of a manifest row's image_uri and row_group."""
    with open_parquet(store, key) as file:
        return file.read_row_group(row_group, columns=list(columns)).to_pylist()


def open_parquet(store: Store, key: str) -> pq.ParquetFile:
    """The object with its footer read; ws_shape() takes its schema. FileNotFoundError if the object is missing.

    The checksum of each page is verified when the page is read: OSError for damaged bytes.
    """
    file = ObjectFile(store, key)
    source = pa.BufferReader(file.read()) if file.size <= MAX_WHOLE_READ_BYTES else pa.PythonFile(file, mode="r")
    return pq.ParquetFile(source, page_checksum_verification=True)
