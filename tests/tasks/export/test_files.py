"""Files are split where they are full, and contain what readers expect."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from manifests.parquet.schema import MANIFEST_SCHEMA
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.export.export import ExportSpec, export
from tasks.export.files import FileOptions, Kind, LocalExport, local_files
from tasks.export.samples import TrainingSample
from tests.painted import contents
from tests.tasks.export.exported import TABLE, TARS

KINDS: tuple[Kind, ...] = ("webdataset", "parquet")


def samples(count: int, size: int = 10) -> Iterator[TrainingSample]:
    for index in range(count):
        row: dict[str, Any] = dict.fromkeys(MANIFEST_SCHEMA.names)
        row |= {"key": f"{index}", "metadata": '{"a": 1}', "status": "ok", "request_id": "r", "edit": "red-1"}
        yield TrainingSample(f"{index}__red-1", "jpg", bytes([index]) * size, b"mask", {"txt": b"text"}, row)


def files(folder: Path, options: FileOptions, count: int, size: int = 10) -> list[LocalExport]:
    return list(local_files(samples(count, size), options, folder))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [7]),
        ({"max_samples": 3}, [3, 3, 1]),
        ({"max_samples": 7}, [7]),
        ({"max_bytes": 250_000}, [3, 3, 1]),
        ({"max_bytes": 1}, [1] * 7),
    ],
)
def test_a_file_is_full_by_samples_or_bytes(tmp_path: Path, kind: Kind, options: Any, expected: list[int]) -> None:
    found = files(tmp_path, replace(FileOptions(kind=kind, with_masks=True), **options), 7, size=100_000)
    assert [file.samples for file in found] == expected
    assert [file.path.name.partition(".")[0] for file in found] == [
        f"coral-{number:06d}" for number in range(len(found))
    ]
    assert all(file.path.stat().st_size == file.size for file in found)


@pytest.mark.parametrize("kind", KINDS)
def test_without_samples_there_is_no_file(tmp_path: Path, kind: Kind) -> None:
    assert files(tmp_path, FileOptions(kind=kind, with_masks=True), 0) == []
    assert list(tmp_path.iterdir()) == []


def test_the_members_of_a_sample_are_adjacent_and_without_time(tmp_path: Path) -> None:
    (found,) = files(tmp_path, FileOptions(kind="webdataset", with_masks=True), 2)
    with tarfile.open(found.path) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [
        f"{index}__red-1.{suffix}" for index in range(2) for suffix in ("jpg", "json", "mask.png", "txt")
    ]
    assert {(member.mtime, member.uid, member.uname, member.mode) for member in members} == {(0, 0, "", 0o444)}


def test_a_table_has_masks_only_if_they_are_asked_for(tmp_path: Path) -> None:
    for with_masks in (True, False):
        rows = (replace(sample, mask=sample.mask if with_masks else None) for sample in samples(2))
        (found,) = local_files(rows, FileOptions(kind="parquet", with_masks=with_masks), tmp_path / str(with_masks))
        table = pq.read_table(found.path)
        assert ("mask" in table.column_names) is with_masks
        assert table.column("id").to_pylist() == ["0__red-1", "1__red-1"]
        assert table.column("image").to_pylist()[1] == {"bytes": b"\1" * 10, "path": "1__red-1.jpg"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_in_the_middle_leaves_no_finished_file(tmp_path: Path, kind: Kind) -> None:
    def breaking() -> Iterator[TrainingSample]:
        yield from samples(2)
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="gone"):
        list(local_files(breaking(), FileOptions(kind=kind, with_masks=True), tmp_path))
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize("options", [TARS, TABLE], ids=lambda options: options.kind)
def test_equal_input_gives_equal_bytes(tmp_path: Path, output: Store, options: FileOptions) -> None:
    for name in ("first", "second"):
        export(output, open_store(tmp_path / name), ExportSpec(files=replace(options, max_samples=5)))
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert len(contents(tmp_path / "first")) == 3 + 2  # three files, the list and the card


def test_files_are_cut_by_samples_and_by_size(tmp_path: Path, output: Store) -> None:
    by_samples = export(output, open_store(tmp_path / "a"), ExportSpec(files=replace(TARS, max_samples=5)))
    assert [file.samples for file in by_samples.files] == [5, 5, 2]
    by_size = export(output, open_store(tmp_path / "b"), ExportSpec(files=replace(TARS, max_bytes=1)))
    assert [file.samples for file in by_size.files] == [1] * 12
