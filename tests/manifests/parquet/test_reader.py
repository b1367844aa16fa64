"""Rows come back in order, and only the bytes of the requested columns and row groups are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from manifests.parquet.reader import open_parquet, read_batches, read_row_group, read_rows
from manifests.parquet.schema import EDIT_SCHEMA, INVERSION_SCHEMA, inversion_schema, ws_shape
from manifests.parquet.writer import PartWriter
from manifests.stores.store import Store

KIB = 1 << 10


@pytest.fixture
def images(store: Store, tmp_path: Path) -> str:
    """The key of an object of 1.25 MiB with 50 rows in several row groups."""
    rows = [
        {"key": f"k{index}", "status": "ok", "image": {"bytes": os.urandom(25 * KIB), "path": None}}
        for index in range(50)
    ]
    with PartWriter(EDIT_SCHEMA, tmp_path, "part", row_group_bytes=256 * KIB) as writer:
        writer.write(rows)
        (part,) = writer.close()
    assert len(part.row_groups) > 2
    store.put_file("data/part.parquet", part.path)
    return "data/part.parquet"


def test_rows_come_in_order(store: Store, images: str) -> None:
    rows = list(read_rows(store, images, ["key", "image"]))
    assert [row["key"] for row in rows] == [f"k{index}" for index in range(50)]
    assert all(len(row["image"]["bytes"]) == 25 * KIB for row in rows)


def test_batches_are_bounded(store: Store, images: str) -> None:
    sizes = [batch.num_rows for batch in read_batches(store, images, batch_rows=8)]
    assert max(sizes) == 8 and sum(sizes) == 50


def test_a_scalar_column_costs_few_bytes(store: Store, images: str) -> None:
    class Counting:
        read_bytes = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
            data = store.read(key, start, length)
            self.read_bytes += len(data)
            return data

    counting = Counting()
    assert [row["status"] for row in read_rows(counting, images, ["status"])] == ["ok"] * 50
    assert counting.read_bytes < 150 * KIB


def test_one_row_group_is_read_alone(store: Store, images: str) -> None:
    second = read_row_group(store, images, 1, ["key"])
    start = open_parquet(store, images).metadata.row_group(0).num_rows
    assert second[0]["key"] == f"k{start}"


def test_damaged_bytes_are_an_error_and_no_row(store: Store, images: str, tmp_path: Path) -> None:
    data = bytearray(store.read(images))
    data[open_parquet(store, images).metadata.row_group(1).column(0).file_offset + 100_000] ^= 1
    (tmp_path / "damaged").write_bytes(data)
    store.put_file("data/damaged.parquet", tmp_path / "damaged")
    with pytest.raises(OSError, match="checksum"):
        list(read_rows(store, "data/damaged.parquet"))


def test_unknown_columns_and_objects_are_errors(store: Store, images: str) -> None:
    with pytest.raises(ValueError, match="no columns"):
        list(read_rows(store, images, ["key", "nonsense"]))
    with pytest.raises(FileNotFoundError, match="data/nowhere"):
        list(read_rows(store, "data/nowhere"))


def test_latents_come_back_with_their_shape(store: Store, tmp_path: Path) -> None:
    with PartWriter(inversion_schema(2, 3), tmp_path, "part") as writer:
        writer.write([{"key": "a", "status": "ok", "ws": [1, 2, 3, 4, 5, 6]}, {"key": "b", "status": "not_inverted"}])
        (part,) = writer.close()
    store.put_file("inversions/x.parquet", part.path)
    with open_parquet(store, "inversions/x.parquet") as file:
        assert ws_shape(file.schema_arrow) == (2, 3)
    assert [row["ws"] for row in read_rows(store, "inversions/x.parquet")] == [[1, 2, 3, 4, 5, 6], None]
    assert next(read_batches(store, "inversions/x.parquet")).schema.names == INVERSION_SCHEMA.names
