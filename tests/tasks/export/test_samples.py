"""Keys that are valid in every tar, and text members that agree with the labels."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.export.export import ExportSpec, export
from tasks.export.samples import LONGEST_KEY, relabelled, sample_key
from tasks.spec.publish_rules import PublishRules
from tests.painted import publish_painted
from tests.tars import image_bytes, write_tar
from tests.tasks.export.exported import TARS, edited, read_tars

SHARD = "1234567890abcdef"
EDIT = "red-hair-0a1b2c3d"


def test_a_plain_key_keeps_its_name() -> None:
    assert sample_key(SHARD, "0001", EDIT) == f"{SHARD}__0001__{EDIT}"


@pytest.mark.parametrize("key", ["a/b", "a.b", "a b", "", "-", "ä", "x" * 300, "../../etc/passwd", "a\n"])
def test_any_other_key_becomes_one_that_readers_do_not_split(key: str) -> None:
    found = sample_key(SHARD, key, EDIT)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", found)
    assert len(found) <= len(SHARD) + 2 + LONGEST_KEY + 9 + 2 + len(EDIT)


def test_shards_whose_ids_begin_alike_stay_different() -> None:
    assert sample_key("12345678" + 8 * "a", "0001", EDIT) != sample_key("12345678" + 8 * "b", "0001", EDIT)


def test_different_keys_stay_different() -> None:
    keys = ["a/b", "a.b", "a-b", "a b", "x" * 65, "x" * 64, "x" * 66, "ä", "ö", "", "-"]
    assert len({sample_key(SHARD, key, EDIT) for key in keys}) == len(keys)


def test_text_members_of_changed_labels_are_rewritten_or_left_out() -> None:
    texts = {"txt": b"a man", "cls": b"3", "count": b"1", "note": b"kept"}
    assert relabelled(texts, {}) == texts
    changes = {"caption": "a man with red hair", "cls": 7, "count": None, "hair.color": "red"}
    assert relabelled(texts, changes) == {"txt": b"a man with red hair", "cls": b"7", "note": b"kept"}


PROVENANCE = {"hair": "brown", "coral": {"method": "painted by hand"}}


def test_a_tar_sample_has_labels_and_provenance(tmp_path: Path, make_job: Callable[..., Any]) -> None:
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


def test_text_members_come_from_the_tar_that_was_edited(tmp_path: Path, output: Store) -> None:
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
