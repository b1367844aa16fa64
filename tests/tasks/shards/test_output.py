from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manifests.commit import read_commit
from manifests.parquet.reader import read_rows
from manifests.parquet.schema import EDIT_SCHEMA, ROWS_SCHEMA
from manifests.stores.local import LocalStore
from tasks.shards.output import Output, row_chunks


def rows(count: int, size: int) -> Iterator[dict[str, Any]]:
    """Rows; every third has no image."""
    for number in range(count):
        good = {"status": "ok", "image": {"bytes": bytes(size), "path": f"{number}.png"}}
        bad = {"status": "undecodable", "reason": f"number {number}"}
        yield {"key": str(number), **(bad if number % 3 == 2 else good)}


def test_chunks_hold_all_rows_and_are_near_their_size() -> None:
    found = list(row_chunks(rows(100, 10), 45))
    assert [row for chunk in found for row in chunk] == list(rows(100, 10))
    sizes = [sum(len(row["image"]["bytes"]) for row in chunk if "image" in row) for chunk in found]  # type: ignore[index]
    assert set(sizes[:-1]) == {50} and 0 < sizes[-1] <= 50


def test_rows_are_read_one_chunk_at_a_time() -> None:
    asked = []

    def watched() -> Iterator[dict[str, Any]]:
        for row in rows(100, 10):
            asked.append(row["key"])
            yield row

    next(row_chunks(watched(), 20))
    assert asked == ["0", "1"]


def test_rows_written_in_chunks_are_complete_and_counted(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    output = Output("r", "edit", {"data/edit=e/r": EDIT_SCHEMA, "rows/r": ROWS_SCHEMA}, tmp_path / "work", 1 << 22)
    output.write(rows(50, 1 << 20))
    report = output.commit(store, {"name": "test"}, 50, 1.0)
    assert report.counts == {"ok": 34, "undecodable": 16}
    record = read_commit(store, "r")
    assert record is not None
    for prefix in ("data/", "rows/"):
        keys = [ref.key for ref in record.objects if ref.key.startswith(prefix)]
        assert [row["key"] for key in keys for row in read_rows(store, key)] == [str(number) for number in range(50)]


def test_too_many_failures_name_the_first(tmp_path: Path) -> None:
    output = Output("r", "edit", {"rows/r": ROWS_SCHEMA}, tmp_path / "work", 1 << 22)
    output.write(rows(6, 1))
    report = output.commit(LocalStore(tmp_path / "out"), {"name": "test"}, 6, 0.1)
    assert "2 of 6 samples failed" in report.refused and report.refused.endswith("2: number 2")
