"""Hugging Face `datasets` loads exported tars whatever the labels of the first samples are, whole and streaming."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from manifests.stores.open import open_store
from tasks.export.export import ExportSpec, export
from tasks.export.features import features_of, text_type
from tasks.export.files import FileOptions
from tasks.export.json_types import MIXED, TEXT
from tests.painted import publish_painted
from tests.tars import Members, image_bytes, write_tar

EARLY: dict[str, object] = {
    "late": None, "number": 1, "kind": 3, "tags": ["a"], "boxes": [{"x": 1}], "free": "text", "empty": {}, "count": 1,
}  # fmt: skip
LATE: dict[str, object] = {
    "late": "here", "number": 0.5, "kind": "three", "tags": [1, "a", None], "boxes": [{"y": 2}, {"x": "1"}],
    "free": {"a": [1]}, "empty": {}, "count": 10**29, "new": {"deep": [[1], []]}, "split": "val",
}  # fmt: skip


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Every sample of a folder, loaded whole and in a stream, which have to be equal."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    from datasets import load_dataset

    def both(folder: Path) -> list[Any]:
        whole = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
        streamed = list(load_dataset(str(folder), split="train", streaming=True))
        left_out = {"__url__"}  # a path of the cache or of the folder
        found = [{name: each[name] for name in each if name not in left_out} for each in whole]
        assert found == [{name: each[name] for name in each if name not in left_out} for each in streamed]
        return found

    return both


def sample(index: int, labels: object, **texts: bytes) -> Members:
    members = {"png": image_bytes(index), "json": json.dumps(labels).encode(), **texts}
    return [(f"{index:04d}.{suffix}", data) for suffix, data in members.items()]


@pytest.mark.parametrize("max_samples", [None, 5])
def test_labels_that_change_after_the_first_samples_are_loaded(
    tmp_path: Path, make_job: Callable[..., Any], load: Callable[..., list[Any]], max_samples: int | None
) -> None:
    early = [member for index in range(7) for member in sample(index, EARLY, txt=b"early", cls=b"1")]
    late = sample(7, LATE, cls=b"1" * 30, caption=b"bytes") + sample(8, {})
    write_tar(tmp_path / "in-0.tar", early + late)
    job = make_job()
    _, store = publish_painted(replace(job, edits=job.edits[:1]))
    options = FileOptions(kind="webdataset", with_masks=True, max_samples=max_samples)
    export(store, open_store(tmp_path / "to"), ExportSpec(files=options))
    first, *_, last, bare = load(tmp_path / "to")
    assert first["json"]["late"] is None and last["json"]["late"] == "here"
    assert (first["json"]["number"], last["json"]["number"]) == (1.0, 0.5)
    assert (first["json"]["kind"], last["json"]["kind"]) == ("3", "three")
    assert (first["json"]["tags"], last["json"]["tags"]) == (["a"], [1, "a", None])
    assert (first["json"]["boxes"], last["json"]["boxes"]) == ([{"x": 1}], [{"y": 2}, {"x": "1"}])
    assert (first["json"]["free"], last["json"]["free"]) == ("text", {"a": [1]})
    assert (first["json"]["count"], last["json"]["count"]) == ("1", "1" + 29 * "0")
    assert last["json"]["new"] == {"deep": [[1], []]} and first["json"]["new"] is None
    assert (first["json"]["coral"]["split"], last["json"]["coral"]["split"]) == (None, "val")
    assert (first["txt"], last["txt"], last["caption"]) == ("early", None, b"bytes")
    assert (first["cls"], last["cls"]) == ("1", "1" * 30)
    assert bare["json"]["kind"] is None and bare["json"]["coral"]["prompt"] == "red hair"
    assert isinstance(first["png"], Image.Image) and first["mask.png"].mode == "L"


def test_integers_beyond_64_bits_of_a_sidecar_are_loaded_as_text(
    tmp_path: Path, make_job: Callable[..., Any], load: Callable[..., list[Any]]
) -> None:
    large = "123456789012345678901234567890"
    write_tar(tmp_path / "in-0.tar", sample(0, {"id": int(large), "ids": [int(large)], "fits": 2**63 - 1}))
    _, store = publish_painted(make_job())
    export(store, open_store(tmp_path / "to"), ExportSpec())
    for each in load(tmp_path / "to"):
        assert (each["json"]["id"], each["json"]["ids"], each["json"]["fits"]) == (large, [large], 2**63 - 1)


def test_the_provenance_has_the_same_types_in_two_exports(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    """So that they can be joined, although one has no split and no score."""
    import yaml

    def declared(name: str) -> Any:
        export(store, open_store(tmp_path / name), ExportSpec(where=f"source_uri LIKE '%in-{name}%'"))
        settings = yaml.safe_load((tmp_path / name / "README.md").read_text().split("---\n")[1])
        (labels,) = (each for each in settings["dataset_info"]["features"] if each["name"] == "json")
        return next(each for each in labels["struct"] if each["name"] == "coral")

    write_tar(tmp_path / "in-train.tar", sample(0, {}))
    write_tar(tmp_path / "in-none.tar", sample(1, {}))
    _, store = publish_painted(make_job())
    assert declared("train") == declared("none")


@pytest.mark.parametrize(
    ("suffix", "data", "expected"),
    [
        ("txt", b"1", TEXT),
        ("long.TXT", b"1", TEXT),
        ("caption", b"1", "binary"),
        ("cls", b" 7\n", "int"),
        ("cls", b"9" * 30, MIXED),
        ("cls", b"cat", TEXT),
        ("meta.json", b'{"a": null}', {"object": {"a": "null"}}),
        ("meta.json", b"oops", TEXT),
    ],
)
def test_a_text_member_has_the_type_to_which_it_is_parsed(suffix: str, data: bytes, expected: object) -> None:
    assert text_type(suffix, data) == expected


def test_a_declaration_names_every_column() -> None:
    names = [
        each["name"] for each in features_of({"png": "image", "json": {"object": {"a": {"list": {"list": "int"}}}}})
    ]
    assert names == ["png", "json", "__key__", "__url__"]
