"""What comes out of an output again: every chosen row once, readable by those who train on it."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import webdataset
from PIL import Image

from manifests.parquet.reader import read_row_group
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.export.export import ExportSpec, export
from tasks.export.files import FileOptions, file_name
from tasks.spec.gates import Gates
from tasks.spec.publish_rules import PublishRules
from tests.painted import contents, publish_painted
from tests.tars import image_bytes, write_shards, write_tar

TARS = FileOptions(kind="webdataset", with_masks=True)
TABLE = FileOptions(kind="parquet", with_masks=True)
PROVENANCE = {"hair": "brown", "coral": {"method": "painted by hand"}}


def read_tars(folder: Path) -> list[dict[str, Any]]:
    """Every sample, as webdataset reads it."""
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    return list(webdataset.WebDataset(urls, shardshuffle=False))


def edited(job: Any, **rules: PublishRules) -> Any:
    """The job with other publishing rules for its edits."""
    return replace(job, edits=tuple(replace(edit, rules=rules.get(edit.id, edit.rules)) for edit in job.edits))


@pytest.fixture
def output(tmp_path: Path, make_job: Callable[..., Any]) -> Store:
    """Two edits of two shards with three samples each."""
    write_shards(tmp_path, 2, 3)
    return publish_painted(make_job())[1]


@pytest.mark.parametrize("options", [TARS, TABLE], ids=lambda options: options.kind)
def test_every_good_row_comes_out_once_with_the_bytes_that_were_committed(
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


def test_a_tar_sample_says_what_it_shows_and_where_it_comes_from(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    record = json.dumps(PROVENANCE).encode()
    write_tar(tmp_path / "in-0.tar", [("a.png", image_bytes(1)), ("a.json", record), ("a.txt", b"brown hair")])
    job = edited(make_job(), red=PublishRules(labels={"hair": "red"}))
    _, store = publish_painted(job)
    export(store, open_store(tmp_path / "to"), ExportSpec(where="edit LIKE 'red-%'", files=TARS))
    (sample,) = read_tars(tmp_path / "to")
    (row,) = query(store, "SELECT * FROM manifest WHERE edit LIKE 'red-%'").to_pylist()
    labels = json.loads(sample["json"])
    assert (labels["hair"], labels["caption"], sample["txt"]) == ("red", "brown hair", b"brown hair")
    coral = labels["coral"]
    assert coral["source"] == {
        "key": "a",
        "uri": (tmp_path / "in-0.tar").as_uri(),
        "member": "a.png",
        "sha256": row["source_sha256"],
    }
    assert (coral["synthetic"], coral["edit"], coral["prompt"], coral["strength"]) == (
        True,
        row["edit"],
        "red hair",
        1.0,
    )
    assert coral["scores"]["direction"] == row["direction"]
    assert coral["source_coral"] == PROVENANCE["coral"]
    assert sample["__key__"].endswith(f"__a__{row['edit']}")
    assert Image.open(io.BytesIO(sample["mask.png"])).mode == "L"


def test_keys_are_unique_and_plain(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    for shard in range(2):
        members = [(f"{key}.png", image_bytes(10 * shard + index)) for index, key in enumerate(("d.x/0", "d-x-0", "1"))]
        write_tar(tmp_path / f"in-{shard}.tar", members)
    _, store = publish_painted(make_job())
    export(store, open_store(tmp_path / "all"), ExportSpec())
    keys = [sample["__key__"] for sample in read_tars(tmp_path / "all")]
    assert len(set(keys)) == len(keys) == 12
    assert not any(character in key for key in keys for character in "./")


def test_a_sample_has_one_key_in_every_export_and_no_other_sample_has_it(
    tmp_path: Path, make_job: Callable[..., Any]
) -> None:
    """Both tars count from zero, as one tar for each split does."""
    for name, shade in (("train", 0), ("val", 100)):
        write_tar(tmp_path / f"in-{name}.tar", [(f"{index:04d}.png", image_bytes(shade + index)) for index in range(3)])
    _, store = publish_painted(make_job())

    def exported(name: str, where: str) -> dict[str, bytes]:
        export(store, open_store(tmp_path / name), ExportSpec(where=where))
        return {sample["__key__"]: sample["png"] for sample in read_tars(tmp_path / name)}

    train, val = (exported(split, f"split = '{split}'") for split in ("train", "val"))
    assert (len(train), len(val)) == (6, 6) and train.keys().isdisjoint(val)
    assert exported("all", "true") == train | val
    first = exported("first", "key = '0000' AND split = 'val' AND edit LIKE 'red-%'")
    assert len(first) == 1 and first.items() <= val.items()


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


def test_the_condition_and_the_limit_choose_the_rows(tmp_path: Path, output: Store) -> None:
    spec = ExportSpec(where="direction >= 0.5 -- the better half\n OR key = '0000'")
    export(output, open_store(tmp_path / "some"), spec)
    found = [json.loads(sample["json"])["coral"] for sample in read_tars(tmp_path / "some")]
    assert all(each["scores"]["direction"] >= 0.5 or each["source"]["key"] == "0000" for each in found)
    assert len(found) == 2 * (2 + 1)
    assert export(output, open_store(tmp_path / "few"), ExportSpec(limit=4)).samples == 4


def test_what_a_gate_rejected_comes_out_only_when_asked_for(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 4)
    rules = PublishRules(gates=Gates(min_direction=0.5))
    _, store = publish_painted(edited(make_job(), red=rules, smile=rules))
    assert export(store, open_store(tmp_path / "good"), ExportSpec()).samples == 4
    assert export(store, open_store(tmp_path / "all"), ExportSpec(with_rejected=True)).samples == 8


@pytest.mark.parametrize("where", ["true) OR (true", "true)) OR ((true", "true) -- and no more"])
@pytest.mark.parametrize("with_rejected", [True, False])
def test_no_condition_gets_around_the_status(
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
def test_a_condition_that_cannot_be_followed_is_said(tmp_path: Path, output: Store, where: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        for attempt in range(8):  # random() may choose the same number of rows twice
            export(output, open_store(tmp_path / f"to-{attempt}"), ExportSpec(where=where))


@pytest.mark.parametrize("options", [TARS, TABLE], ids=lambda options: options.kind)
def test_what_is_refused_leaves_nothing(tmp_path: Path, output: Store, options: FileOptions) -> None:
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


def test_nothing_published_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing is published"):
        export(open_store(tmp_path / "out"), open_store(tmp_path / "to"), ExportSpec())


@dataclass
class Breaking:
    """A store that stops taking files after some."""

    store: Store
    files: int

    def put_file(self, key: str, path: Path) -> None:
        if not self.files:
            raise OSError("the disk is full")
        self.files -= 1
        self.store.put_file(key, path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@pytest.mark.parametrize("options", [TARS, TABLE], ids=lambda options: options.kind)
def test_an_interrupted_export_goes_on_and_ends_in_the_same_bytes(
    tmp_path: Path, output: Store, options: FileOptions
) -> None:
    spec = ExportSpec(files=replace(options, max_samples=5))
    export(output, open_store(tmp_path / "whole"), spec)
    destination = open_store(tmp_path / "broken")
    with pytest.raises(OSError, match="full"):
        export(output, Breaking(destination, files=2), spec)
    assert destination.head("_export.json") is None
    first = destination.head(file_name(options.kind, "000000"))
    report = export(output, destination, spec)
    assert (report.reused, len(report.files)) == (2, 3)
    assert first is not None and destination.head(first.key) == first
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    seen = {info.key: info for info in destination.list("")}
    assert export(output, destination, spec).reused == 3
    assert {info.key: info for info in destination.list("")} == seen


def test_nothing_is_written_over_something_else(tmp_path: Path, output: Store) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("dear")
    with pytest.raises(ValueError, match=r"not empty .*thesis\.tex.*empty folder"):
        export(output, open_store(tmp_path / "full"), ExportSpec())
    destination = open_store(tmp_path / "to")
    export(output, destination, ExportSpec())
    before = contents(tmp_path / "to")
    with pytest.raises(ValueError, match=r"another selection .*where 'true', now 'direction > 0'"):
        export(output, destination, ExportSpec(where="direction > 0"))
    assert contents(tmp_path / "to") == before
    assert contents(tmp_path / "full") == {"thesis.tex": b"dear"}
    (tmp_path / "to" / "coral-000000.tar").unlink()
    with pytest.raises(ValueError, match=r"has lost coral-000000\.tar"):
        export(output, destination, ExportSpec())


def test_an_export_of_an_earlier_manifest_is_not_taken_for_the_present_one(
    tmp_path: Path, make_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 3)
    _, store = publish_painted(make_job())
    export(store, open_store(tmp_path / "to"), ExportSpec())
    write_shards(tmp_path, 2, 3)
    publish_painted(make_job())
    with pytest.raises(ValueError, match=r"another selection .*snapshot 1, now 2"):
        export(store, open_store(tmp_path / "to"), ExportSpec())


def test_text_members_come_from_the_very_tar_that_was_edited(tmp_path: Path, output: Store) -> None:
    (tmp_path / "in-001.tar").rename(tmp_path / "away")
    with pytest.raises(ValueError, match=r"in-001.tar is gone.*--without-sidecars"):
        export(output, open_store(tmp_path / "gone"), ExportSpec())
    shutil.copy(tmp_path / "in-000.tar", tmp_path / "in-001.tar")
    with pytest.raises(ValueError, match=r"in-001.tar was changed.*--without-sidecars"):
        export(output, open_store(tmp_path / "changed"), ExportSpec())
    export(output, open_store(tmp_path / "without"), ExportSpec(with_sidecars=False))
    assert not any("txt" in sample for sample in read_tars(tmp_path / "without"))
    (tmp_path / "away").replace(tmp_path / "in-001.tar")
    assert export(output, open_store(tmp_path / "gone"), ExportSpec()).samples == 12


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


def test_a_real_run_comes_out_too(tmp_path: Path, make_job: Callable[..., Any], run_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 3)
    plan, _ = run_job(make_job())
    report = export(open_store(plan.output), open_store(tmp_path / "to"), ExportSpec(files=TARS))
    samples = read_tars(tmp_path / "to")
    assert report.samples == len(samples) == 6
    assert all(Image.open(io.BytesIO(sample["png"])).size == (64, 64) for sample in samples)
    assert {sample["txt"] for sample in samples} == {b"number 0", b"number 1", b"number 2"}
