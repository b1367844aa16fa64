"""The stored latents of published samples, located by the commits of an edit and of its inversion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from manifests.commit import CommitRecord, read_commit
from manifests.parquet.reader import open_parquet
from manifests.parquet.row_places import RowPlace, place_of
from manifests.parquet.schema import ws_shape
from manifests.stores.store import Store
from tasks.gallery.missing import Missing
from tasks.gallery.stored_rows import ordinal, place_at, rows_or_missing

Row = Mapping[str, Any]
"""A row of the manifest, with all columns."""
Name = tuple[str, str]
"""Shard and key of a source."""
NO_INVERSION = Missing("it has no stored inversion")


def name_of(row: Row) -> Name:
    """The source of a row."""
    return row["source_uri"], row["key"]


class StoredLatents:
    """Reads latents; those of each source once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._found: dict[Name, np.ndarray | Missing] = {}
        self._records: dict[str, CommitRecord | None] = {}
        self._shapes: dict[str, tuple[int, int] | Missing] = {}

    def of(self, rows: Iterable[Row]) -> dict[Name, np.ndarray | Missing]:
        """The latents of the rows' sources, float32 [L,D]."""
        wanted = {name_of(row): row for row in rows}
        self._read({name: row for name, row in wanted.items() if name not in self._found})
        return {name: self._found[name] for name in wanted}

    def _read(self, wanted: Mapping[Name, Row]) -> None:
        places = {name: self._place(row) for name, row in wanted.items()}
        rows = rows_or_missing(self.store, (place for place in places.values() if isinstance(place, RowPlace)), ("ws",))
        for name, place in places.items():
            self._found[name] = place if isinstance(place, Missing) else _shaped(rows[place], self._shape(place.key))

    def _place(self, row: Row) -> RowPlace | Missing:
        """The row with its latents; rows of an edit and of its inversion have the same order, that of the shard."""
        try:
            place, record = place_of(row), self._record(row["request_id"])
            if place is None or record is None:
                return NO_INVERSION
            inversion = self._record(str(record.info["inversion"]))
            found = None if inversion is None else place_at(inversion, ordinal(record, place))
        except Exception as error:
            return Missing.because(error)
        return NO_INVERSION if found is None else found

    def _shape(self, key: str) -> tuple[int, int] | Missing:
        """[L, D] of all latents in an object, from its schema."""
        if key not in self._shapes:
            try:
                with open_parquet(self.store, key) as file:
                    self._shapes[key] = ws_shape(file.schema_arrow)
            except Exception as error:
                self._shapes[key] = Missing.because(error)
        return self._shapes[key]

    def _record(self, request_id: str) -> CommitRecord | None:
        if request_id not in self._records:
            self._records[request_id] = read_commit(self.store, request_id)
        return self._records[request_id]


def _shaped(row: Mapping[str, Any] | Missing, shape: tuple[int, int] | Missing) -> np.ndarray | Missing:
    """The latents in one row of an inversion, float32 [L,D]."""
    if isinstance(row, Missing):
        return row
    if isinstance(shape, Missing):
        return shape
    if row["ws"] is None:
        return NO_INVERSION
    ws_N = np.array(row["ws"], np.float32)
    if ws_N.size != shape[0] * shape[1]:
        return Missing(f"its stored latents are {ws_N.size} numbers, not {shape[0]} x {shape[1]}")
    return ws_N.reshape(shape)
