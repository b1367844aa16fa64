"""Parts are complete, checked and stored with the planned options, or they do not exist."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.parquet.schema import EDIT_SCHEMA, INVERSION_SCHEMA, MANIFEST_SCHEMA, inversion_schema, ws_shape
from manifests.parquet.writer import SCALAR_GROUP_ROWS, PartWriter

KIB, MIB = 1 << 10, 1 << 20
SPAWN = multiprocessing.get_context("spawn")


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [edit_row(index) for index in range(5)] + [{"key": "bad", "status": "undecodable", "reason": "not an image"}]
    with PartWriter(EDIT_SCHEMA, tmp_path, "part") as writer:
        writer.write(rows[:2])
        writer.write([])
        writer.write(rows[2:])
        (part,) = writer.close()
    table = pq.read_table(part.path)
    assert table.schema.equals(EDIT_SCHEMA) and table.schema.metadata == EDIT_SCHEMA.metadata
    expected = [{name: row.get(name) for name in EDIT_SCHEMA.names} for row in rows]
    assert table.to_pylist() == expected
    assert (part.rows, part.row_groups, part.size) == (6, (6,), part.path.stat().st_size)
    assert part.sha256 == hashlib.sha256(part.path.read_bytes()).hexdigest()


def test_a_batch_is_written_like_its_rows(tmp_path: Path) -> None:
    rows = [edit_row(index) for index in range(300)]
    batch = pa.RecordBatch.from_pylist(rows, EDIT_SCHEMA)
    with PartWriter(EDIT_SCHEMA, tmp_path / "batch", "part", row_group_bytes=16 * KIB) as writer:
        writer.write_batch(batch.slice(0, 100))
        writer.write_batch(batch.slice(100))
        (part,) = writer.close()
    with PartWriter(EDIT_SCHEMA, tmp_path / "rows", "part", row_group_bytes=16 * KIB) as writer:
        writer.write(rows[:100])
        writer.write(rows[100:])
        assert writer.close()[0].sha256 == part.sha256
    assert len(part.row_groups) > 1


def test_columns_replace_those_of_a_batch(tmp_path: Path) -> None:
    batch = pa.RecordBatch.from_pylist([{"key": key, "status": "ok", "seed": 1} for key in "ab"])
    with PartWriter(MANIFEST_SCHEMA, tmp_path, "part") as writer:
        writer.write_batch(batch, {"status": ["ok", "rejected"], "request_id": ["r", "s"], "row": (0, None)})
        with pytest.raises(ValueError, match=r"unknown columns .*'verdict'"):
            writer.write_batch(batch, {"verdict": [1, 2]})
        with pytest.raises(ValueError, match="column 'request_id' is missing in 2 of 2 rows"):
            writer.write_batch(batch)
        (part,) = writer.close()
    assert pq.read_table(part.path, columns=["key", "status", "seed", "request_id", "row", "gate"]).to_pylist() == [
        {"key": "a", "status": "ok", "seed": 1, "request_id": "r", "row": 0, "gate": None},
        {"key": "b", "status": "rejected", "seed": 1, "request_id": "s", "row": None, "gate": None},
    ]


def test_a_column_without_any_value_keeps_its_type(tmp_path: Path) -> None:
    (part,) = written(tmp_path, EDIT_SCHEMA, [{"key": "a", "status": "failed"}])
    assert pq.read_schema(part.path).equals(EDIT_SCHEMA)


def test_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    rows = [{"key": f"k{index}", "status": "ok", "request_id": "r"} for index in range(100)]
    (first,), (second,) = (written(tmp_path / name, MANIFEST_SCHEMA, rows) for name in "ab")
    assert first.sha256 == second.sha256


def test_other_software_decodes_image_columns_as_images(tmp_path: Path) -> None:
    (part,) = written(tmp_path, EDIT_SCHEMA, [edit_row(0)])
    features = json.loads(pq.read_schema(part.path).metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}, "mask": {"_type": "Image"}}


def test_payload_is_stored_plain_and_scalars_compressed(tmp_path: Path) -> None:
    (part,) = written(tmp_path, EDIT_SCHEMA, [edit_row(index) for index in range(50)])
    columns = columns_of(part.path)
    for name in ("image.bytes", "mask.bytes", "image.path"):
        assert columns[name].compression == "UNCOMPRESSED"
        assert not columns[name].is_stats_set and not columns[name].has_dictionary_page
    for name in ("key", "direction", "metadata", "status", "layer_areas.list.element"):
        assert columns[name].compression == "ZSTD" and columns[name].is_stats_set
        assert columns[name].has_dictionary_page == (name == "status")
        assert columns[name].has_offset_index and columns[name].has_column_index


def test_latents_are_stored_plain_with_their_shape(tmp_path: Path) -> None:
    ws = [[float(index)] * 6 for index in range(3)]
    rows = [{"key": str(index), "status": "ok", "ws": each} for index, each in enumerate(ws)]
    (part,) = written(tmp_path, inversion_schema(2, 3), rows)
    assert ws_shape(pq.read_schema(part.path)) == (2, 3)
    assert pq.read_table(part.path)["ws"].to_pylist() == ws
    column = columns_of(part.path)["ws.list.element"]
    assert column.compression == "UNCOMPRESSED" and not column.has_dictionary_page and not column.is_stats_set


def test_row_groups_are_near_their_size_and_parts_below_their_limit(tmp_path: Path) -> None:
    with PartWriter(EDIT_SCHEMA, tmp_path, "part", max_part_bytes=MIB, row_group_bytes=256 * KIB) as writer:
        for start in range(0, 200, 7):
            writer.write([edit_row(index, size=20 * KIB) for index in range(start, min(start + 7, 200))])
        parts = writer.close()
    assert len(parts) > 3 and sum(part.rows for part in parts) == 200
    assert all(part.size <= MIB for part in parts)
    groups = [rows for part in parts for rows in part.row_groups]
    assert sum(groups) == 200 and all(11 <= rows <= 14 for rows in groups[:-1])
    assert [part.path.name for part in parts] == [f"part-{index:04d}.parquet" for index in range(len(parts))]
    keys = [key for part in parts for key in pq.read_table(part.path, columns=["key"])["key"].to_pylist()]
    assert keys == [f"k{index}" for index in range(200)]


def test_one_large_write_is_split_like_many_small_ones(tmp_path: Path) -> None:
    rows = [edit_row(index, size=20 * KIB) for index in range(100)]
    parts = written(tmp_path, EDIT_SCHEMA, rows, max_part_bytes=MIB, row_group_bytes=256 * KIB)
    assert all(part.size <= MIB for part in parts) and len(parts) > 1
    assert max(rows for part in parts for rows in part.row_groups) <= 14


def test_scalar_row_groups_have_at_least_a_hundred_thousand_rows(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("key", pa.string())])
    with PartWriter(schema, tmp_path, "part", row_group_bytes=MIB) as writer:
        for start in range(0, 300_000, 10_000):
            writer.write([{"key": f"{index:08d}"} for index in range(start, start + 10_000)])
        (part,) = writer.close()
    assert len(part.row_groups) > 1
    assert min(part.row_groups[:-1]) >= SCALAR_GROUP_ROWS > 100_000


def test_memory_holds_one_row_group(tmp_path: Path) -> None:
    before, peak = pa.total_allocated_bytes(), 0
    with PartWriter(EDIT_SCHEMA, tmp_path, "part", row_group_bytes=MIB) as writer:
        for index in range(400):
            writer.write([edit_row(index, size=100 * KIB)])
            peak = max(peak, pa.total_allocated_bytes() - before)
        assert sum(part.size for part in writer.close()) > 39 * MIB
    assert peak < 4 * MIB


def test_without_rows_there_is_no_part(tmp_path: Path) -> None:
    assert written(tmp_path, EDIT_SCHEMA, []) == ()
    assert list(tmp_path.iterdir()) == []


def test_closing_again_returns_the_same_parts(tmp_path: Path) -> None:
    with PartWriter(EDIT_SCHEMA, tmp_path, "part") as writer:
        writer.write([edit_row(0)])
        parts = writer.close()
        assert writer.close() == parts
    assert writer.close() == parts
    with pytest.raises(ValueError, match="closed"):
        writer.write([edit_row(1)])


@pytest.mark.parametrize("closed", [False, True])
def test_an_exception_discards_everything(tmp_path: Path, closed: bool) -> None:
    with (
        pytest.raises(KeyError),
        PartWriter(EDIT_SCHEMA, tmp_path, "part", max_part_bytes=MIB, row_group_bytes=64 * KIB) as writer,
    ):
        writer.write([edit_row(index, size=50 * KIB) for index in range(60)])
        assert any(tmp_path.iterdir())
        if closed:
            writer.close()
        raise KeyError("the caller failed")
    assert list(tmp_path.iterdir()) == []


def test_a_part_has_its_name_only_when_it_is_finished(tmp_path: Path) -> None:
    with PartWriter(EDIT_SCHEMA, tmp_path, "part", row_group_bytes=64 * KIB) as writer:
        writer.write([edit_row(index, size=50 * KIB) for index in range(10)])
        assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
        writer.close()
        assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    child = SPAWN.Process(target=_write_beyond_the_limit, args=(tmp_path / "out",))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert list((tmp_path / "out").iterdir()) == []


def test_wrong_rows_are_refused_by_column(tmp_path: Path) -> None:
    with PartWriter(EDIT_SCHEMA, tmp_path, "part") as writer:
        for row, message in {
            (("key", "a"), ("status", "ok"), ("strenght", 1.0)): "unknown columns .*'strenght'",
            (("key", "a"), ("status", "ok"), ("direction", "high")): "column 'direction' must hold float",
            (("key", "a"), ("status", "ok"), ("seed", 1 << 70)): "column 'seed' must hold int64",
            (("key", "\ud800"), ("status", "ok")): "column 'key' must hold string",
            (("key", "a"),): "column 'status' is missing in 1 of 1 rows",
        }.items():
            with pytest.raises(ValueError, match=message):
                writer.write([dict(row)])
        assert writer.close() == ()


def test_a_row_group_must_fit_into_a_part(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row_group_bytes is 2 and max_part_bytes 1"):
        PartWriter(INVERSION_SCHEMA, tmp_path, "part", max_part_bytes=1, row_group_bytes=2)


def edit_row(index: int, size: int = 100) -> dict[str, Any]:
    """A complete row whose image has the given number of random bytes."""
    return {
        "key": f"k{index}",
        "source_member": f"{index}.png",
        "metadata": json.dumps({"age": index}),
        "status": "ok",
        "strength": 1.1,
        "seed": index,
        "direction": 0.5,
        "box": [0.0, 0.0, 64.0, 64.0],
        "layer_areas": [0.0, 0.25, 1.0],
        "image": {"bytes": os.urandom(size), "path": f"{index}.png"},
        "mask": {"bytes": b"mask", "path": None},
    }


def written(folder: Path, schema: pa.Schema, rows: list[dict[str, Any]], **sizes: int) -> tuple[Any, ...]:
    with PartWriter(schema, folder, "part", **sizes) as writer:
        writer.write(rows)
        return writer.close()


def columns_of(path: Path) -> dict[str, Any]:
    group = pq.read_metadata(path).row_group(0)
    return {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}


def _write_beyond_the_limit(folder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))
    with pytest.raises(OSError), PartWriter(EDIT_SCHEMA, folder, "part", row_group_bytes=64 * KIB) as writer:
        for index in range(40):
            writer.write([edit_row(index, size=50 * KIB)])
