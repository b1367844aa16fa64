"""The data files of the manifest: rows of one edit, with the statistics by which readers skip files."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from manifests.commit import ObjectRef
from manifests.parquet.schema import MANIFEST_SCHEMA
from manifests.parquet.writer import LocalPart, PartWriter
from manifests.stores.store import Store

PARTITION = "edit"
SKIPPING = (
    "request_id",
    "source_uri",
    "status",
    "split",
    *(field.name for field in MANIFEST_SCHEMA if field.type == pa.float32()),
)
"""Columns with statistics in the table's log: what people and publishers select by, and the scores that gates use."""
FILE_SCHEMA = MANIFEST_SCHEMA.remove(MANIFEST_SCHEMA.get_field_index(PARTITION))
FULL_ROWS, FULL_BYTES = 1_000_000, 128 << 20
"""A file is full when it has so many rows or bytes; the rows of one request are never split over two files."""

WIDEST = float(np.finfo(np.float32).max)

Columns = Mapping[str, Any]
"""Column -> one value per row, as an Arrow array or a sequence."""
Batches = Iterable[tuple[pa.RecordBatch, Columns]]
"""Arrow batches in the manifest's schema, each with columns that are added or replaced."""


@dataclass(frozen=True)
class TableFile:
    """One immutable data file, which versions of the table name or may name."""

    path: str  # below the table's folder
    edit: str
    rows: int
    size: int  # bytes
    stats: str  # JSON, as the Delta protocol defines it


def write_files(store: Store, folder: str, edit: str, units: Iterator[Batches], scratch: Path) -> Iterator[TableFile]:
    """Write the rows of an edit into files below a folder of the store; each unit lies in one of them."""
    while True:
        name, statistics = secrets.token_hex(16), _Statistics()
        with PartWriter(FILE_SCHEMA, scratch, name, max_part_bytes=1 << 40) as writer:
            for batches in units:
                for batch, columns in batches:
                    whole = _with_columns(batch, columns)
                    statistics.add(whole)
                    writer.write_batch(whole)
                if statistics.rows >= FULL_ROWS or writer.open_bytes >= FULL_BYTES:
                    break
            parts = writer.close()
        if not parts:
            return
        (part,) = parts
        yield _uploaded(store, folder, edit, name, part, statistics)


def kept_rows(rows: pads.Dataset, without: Collection[str], states: Mapping[str, str]) -> Batches:
    """The rows but those of the requests `without`; `states`: request -> its new source_state."""
    gone, changed = pa.array(list(without), pa.string()), pa.array(list(states), pa.string())
    new = pa.array(list(states.values()), pa.string())
    for batch in rows.to_batches():
        kept = batch.filter(pc.invert(pc.is_in(batch.column("request_id"), gone)))
        positions = pc.index_in(kept.column("request_id"), changed)
        yield kept, {"source_state": pc.coalesce(new.take(positions), kept.column("source_state"))}


def statistics_of(action: Mapping[str, Any]) -> str:
    """TableFile.stats from a flat row of DeltaTable.get_add_actions()."""
    ends = {"minValues": "min.", "maxValues": "max.", "nullCount": "null_count."}
    found = {
        name: {column: action[start + column] for column in SKIPPING if action.get(start + column) is not None}
        for name, start in ends.items()
    }
    return json.dumps({"numRecords": action["num_records"], **found})


def place_columns(objects: Sequence[ObjectRef], wanted: np.ndarray) -> Columns:
    """The RowPlace of each row of data objects, one after the other; null where `wanted` (bool [N]) is false."""
    groups = [(index, group, rows) for index, ref in enumerate(objects) for group, rows in enumerate(ref.row_groups)]
    index, group, sizes = np.array(groups, np.int32).reshape(-1, 3).T
    rows = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    uris = pa.array([ref.key for ref in objects], pa.string())
    return {
        "image_uri": uris.take(pa.array(np.repeat(index, sizes), mask=~wanted)),
        "row_group": pa.array(np.repeat(group, sizes), mask=~wanted),
        "row": pa.array(rows, pa.int32(), mask=~wanted),
    }


def repeated(values: Sequence[str | None], counts: Sequence[int]) -> pa.Array:
    """Each text as often as its count says."""
    return pa.array(values, pa.string()).take(pa.array(np.repeat(np.arange(len(values)), counts)))


def _uploaded(store: Store, folder: str, edit: str, name: str, part: LocalPart, statistics: _Statistics) -> TableFile:
    path = f"{PARTITION}={edit}/{name}.parquet"
    store.put_file(f"{folder}/{path}", part.path)
    part.path.unlink()
    return TableFile(path, edit, part.rows, part.size, statistics.to_json())


def _with_columns(batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    """The batch in FILE_SCHEMA; a column that neither argument has is null."""
    own = dict(zip(batch.schema.names, batch.columns, strict=True))
    arrays = []
    for field in FILE_SCHEMA:
        values = columns.get(field.name, own.get(field.name))
        if values is None:
            values = pa.nulls(batch.num_rows, field.type)
        arrays.append(values.cast(field.type) if isinstance(values, pa.Array) else pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=FILE_SCHEMA)


class _Statistics:
    """Rows, and for the columns SKIPPING: nulls, smallest and largest value.

    JSON has no NaN and no infinity. A column with one of them gets the widest bounds: engines do not agree on where NaN
    is in their order, and without bounds pyarrow, reading by delta-rs, would skip the file for every comparison.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.nulls = dict.fromkeys(SKIPPING, 0)
        self.bounds: dict[str, list[Any]] = {name: [] for name in SKIPPING}

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        for name in SKIPPING:
            column = batch.column(name)
            self.nulls[name] += column.null_count
            if pa.types.is_floating(column.type) and pc.all(pc.is_finite(column)).as_py() is False:
                self.bounds[name] += [-WIDEST, WIDEST]
            elif column.null_count < len(column):
                self.bounds[name] += pc.min_max(column).as_py().values()

    def to_json(self) -> str:
        bounded = {name: ends for name, ends in self.bounds.items() if ends}
        return json.dumps(
            {
                "numRecords": self.rows,
                "minValues": {name: min(ends) for name, ends in bounded.items()},
                "maxValues": {name: max(ends) for name, ends in bounded.items()},
                "nullCount": self.nulls,
            }
        )
