from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.commit import CommitRecord, ObjectRef
from manifests.parquet.row_places import RowPlace
from manifests.stores.local import LocalStore
from tasks.gallery.missing import Missing
from tasks.gallery.stored_rows import ordinal, place_at, rows_or_missing


def test_one_object_that_cannot_be_read_takes_no_other_with_it(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": range(4)}), tmp_path / "good.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 no")
    good, damaged, gone = (RowPlace(f"{name}.parquet", 0, 2) for name in ("good", "damaged", "gone"))
    found = rows_or_missing(LocalStore(tmp_path), [good, damaged, gone], ("n",))
    assert found[good] == {"n": 2}
    assert isinstance(found[damaged], Missing)
    assert isinstance(found[gone], Missing) and "gone.parquet" in found[gone].reason


def record(prefix: str, *row_groups: tuple[int, ...]) -> CommitRecord:
    objects = [ObjectRef(f"{prefix}{n}", 1, "", sum(groups), groups) for n, groups in enumerate(row_groups)]
    return CommitRecord("r", "edit", "a", tuple(objects), {})


def test_a_row_and_its_number_lead_to_each_other() -> None:
    edit, inversion = record("data/", (3, 2), (4,)), record("inversions/", (1, 6), (2,))
    places = [RowPlace("data/0", 0, n) for n in range(3)] + [RowPlace("data/0", 1, n) for n in range(2)]
    places += [RowPlace("data/1", 0, n) for n in range(4)]
    assert [ordinal(edit, place) for place in places] == list(range(9))
    found: list[Any] = [place_at(inversion, number) for number in range(10)]
    assert found[:3] == [RowPlace("inversions/0", 0, 0), RowPlace("inversions/0", 1, 0), RowPlace("inversions/0", 1, 1)]
    assert found[7:] == [RowPlace("inversions/1", 0, 0), RowPlace("inversions/1", 0, 1), None]
    with pytest.raises(ValueError, match="publish the job again"):
        ordinal(edit, RowPlace("data/9", 0, 0))
