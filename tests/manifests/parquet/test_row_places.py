from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.parquet.row_places import RowPlace, place_of, rows_at
from manifests.stores.local import LocalStore


def test_only_the_row_groups_of_the_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, sizes = LocalStore.read, []

    def counting(*given: Any) -> bytes:
        sizes.append(len(data := read(*given)))
        return data

    monkeypatch.setattr(LocalStore, "read", counting)
    payload = [bytes([n]) * 100_000 for n in range(40)]
    table = pa.table({"n": range(40), "image": payload})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=4, compression="none", use_dictionary=False)
    wanted = [RowPlace("a.parquet", 7, 3), RowPlace("a.parquet", 2, 1), RowPlace("a.parquet", 7, 0)]
    found = dict(rows_at(LocalStore(tmp_path), wanted, ("n", "image")))
    assert {place: row["n"] for place, row in found.items()} == dict(zip(wanted, (31, 9, 28), strict=True))
    assert sum(sizes) < 1_000_000 < len(payload) * 100_000


def test_rows_without_pixels_have_no_row_place() -> None:
    assert place_of({"image_uri": None, "row_group": None, "row": None}) is None
    assert place_of({"image_uri": "data/x", "row_group": 1, "row": 2}) == RowPlace("data/x", 1, 2)
