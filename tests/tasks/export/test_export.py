"""An export contains every selected row once, in files that training libraries can read."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from manifests.parquet.reader import read_row_group
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.export.export import ExportSpec, export
from tasks.export.files import FileOptions
from tasks.spec.gates import Gates
from tasks.spec.publish_rules import PublishRules
from tests.painted import publish_painted
from tests.tars import write_shards
from tests.tasks.export.exported import TABLE, TARS, edited, read_tars


@pytest.mark.parametrize("options", [TARS, TABLE], ids=lambda options: options.kind)
def test_every_ok_row_is_exported_once_with_the_committed_bytes(
    tmp_path: Path, output: Store, options: FileOptions
) -> None:
    report = export(output, open_store(tmp_path / "to"), ExportSpec(files=options))
    rows = query(output, "SELECT * FROM manifest").to_pylist()
    assert report.samples == len(rows) == 12
    expected = Counter(
        read_row_group(output, row["image_uri"], row["row_group"], ["image"])[row["row"]]["image"]["bytes"]
        for row in rows
    )
    if options.kind == "webdataset":
        found = Counter(sample["png"] for sample in read_tars(tmp_path / "to"))
    else:
        stored = read_row_group(open_store(tmp_path / "to"), "data/coral-000000.parquet", 0, ["image"])
        found = Counter(row["image"]["bytes"] for row in stored)
    assert found == expected


def test_the_condition_and_the_limit_select_the_rows(tmp_path: Path, output: Store) -> None:
    spec = ExportSpec(where="direction >= 0.5 -- the better half\n OR key = '0000'")
    export(output, open_store(tmp_path / "some"), spec)
    found = [json.loads(sample["json"])["coral"] for sample in read_tars(tmp_path / "some")]
    assert all(each["scores"]["direction"] >= 0.5 or each["source"]["key"] == "0000" for each in found)
    assert len(found) == 2 * (2 + 1)
    assert export(output, open_store(tmp_path / "few"), ExportSpec(limit=4)).samples == 4


def test_rejected_rows_are_exported_only_on_request(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 4)
    rules = PublishRules(gates=Gates(min_direction=0.5))
    _, store = publish_painted(edited(make_job(), red=rules, smile=rules))
    assert export(store, open_store(tmp_path / "good"), ExportSpec()).samples == 4
    assert export(store, open_store(tmp_path / "all"), ExportSpec(with_rejected=True)).samples == 8


@pytest.mark.parametrize("where", ["true) OR (true", "true)) OR ((true", "true) -- and no more"])
@pytest.mark.parametrize("with_rejected", [True, False])
def test_no_condition_bypasses_the_status(
    tmp_path: Path, make_job: Callable[..., Any], where: str, with_rejected: bool
) -> None:
    write_shards(tmp_path, 1, 4)
    rules = PublishRules(gates=Gates(min_direction=0.5))
    _, store = publish_painted(edited(make_job(), red=rules, smile=rules))
    with pytest.raises(ValueError, match="by itself is no condition"):
        export(store, open_store(tmp_path / "to"), ExportSpec(where=where, with_rejected=with_rejected))
    assert not (tmp_path / "to").exists()
    commented = ExportSpec(where="true OR status = 'rejected' --")
    assert export(store, open_store(tmp_path / "to"), commented).samples == 4


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("direction >", "the query failed"),
        ("no_such_column = 1", "no_such_column"),
        ("false", "no row with an image fulfils 'false'; of all rows with one: 12 ok"),
        ("random() < 0.5", "hash"),
    ],
)
def test_an_invalid_condition_is_an_error(tmp_path: Path, output: Store, where: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        for attempt in range(8):  # random() may choose the same number of rows twice
            export(output, open_store(tmp_path / f"to-{attempt}"), ExportSpec(where=where))


@pytest.mark.parametrize("options", [TARS, TABLE], ids=lambda options: options.kind)
def test_a_refused_export_writes_nothing(tmp_path: Path, output: Store, options: FileOptions) -> None:
    """A wrong condition, no rows, the second of two sources gone."""
    destination = open_store(tmp_path / "to")
    for where in ("direction >", "false"):
        with pytest.raises(ValueError, match=r"failed|no row"):
            export(output, destination, ExportSpec(where=where, files=options))
    if options.kind == "webdataset":
        (tmp_path / "in-001.tar").unlink()
        with pytest.raises(ValueError, match="is gone"):
            export(output, destination, ExportSpec(files=options))
    assert not (tmp_path / "to").exists()


def test_an_output_without_published_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing is published"):
        export(open_store(tmp_path / "out"), open_store(tmp_path / "to"), ExportSpec())


def test_each_row_group_is_read_once(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 3, 2)
    _, store = publish_painted(make_job())
    opened: Counter[str] = Counter()

    class Watched:
        def head(self, key: str) -> Any:
            opened[key] += 1
            return store.head(key)

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

    export(Watched(), open_store(tmp_path / "to"), ExportSpec())
    objects = [key for key in opened if key.startswith("data/")]
    assert len(objects) == 6
    assert all(opened[key] == 1 for key in objects)


def test_the_rows_of_a_real_run_are_exported(
    tmp_path: Path, make_job: Callable[..., Any], run_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 3)
    plan, _ = run_job(make_job())
    report = export(open_store(plan.output), open_store(tmp_path / "to"), ExportSpec(files=TARS))
    samples = read_tars(tmp_path / "to")
    assert report.samples == len(samples) == 6
    assert all(Image.open(io.BytesIO(sample["png"])).size == (64, 64) for sample in samples)
    assert {sample["txt"] for sample in samples} == {b"number 0", b"number 1", b"number 2"}
