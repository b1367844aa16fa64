"""The code in the card loads the export, and so does every reader that takes a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pyarrow.dataset
import pytest
import yaml
from PIL import Image

from manifests.stores.open import open_store
from tasks.export.export import ExportSpec, export
from tasks.export.files import FileOptions, Kind
from tests.painted import publish_painted
from tests.tars import write_shards


@pytest.mark.parametrize(("kind", "variable"), [("webdataset", "samples"), ("parquet", "rows")])
def test_the_code_in_the_card_runs(
    tmp_path: Path, make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, kind: Kind, variable: str
) -> None:
    write_shards(tmp_path, 1, 4)
    _, store = publish_painted(make_job())
    export(store, open_store(tmp_path / "to"), ExportSpec(files=FileOptions(kind=kind, max_samples=3)))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "to")
    card = Path("README.md").read_text()
    code = re.search("```python\n(.*?)```", card, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    assert len(list(names[variable])) == 8
    settings = yaml.safe_load(card.split("---")[1])
    assert len(list(Path().glob(settings["configs"][0]["data_files"]))) == 3
    assert (settings["configs"][0]["config_name"], "dataset_info" in settings) == ("default", kind == "webdataset")
    assert "8 edited images" in card and "| red hair |" in card


def test_every_reader_takes_the_folder_of_a_table(
    tmp_path: Path, make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path, 1, 4)
    _, store = publish_painted(make_job())
    table = FileOptions(kind="parquet", with_masks=True, max_samples=3)
    export(store, open_store(tmp_path / "to"), ExportSpec(files=table))
    data = tmp_path / "to" / "data"
    assert {path.suffix for path in data.rglob("*")} == {".parquet"}  # polars takes a folder of one kind of file
    ids = pyarrow.dataset.dataset(data).to_table(columns=["id"]).column("id").to_pylist()
    assert list(pandas.read_parquet(data)["id"]) == ids and len(set(ids)) == 8
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    from datasets import load_dataset

    rows = load_dataset(str(tmp_path / "to"), split="train", cache_dir=str(tmp_path / "cache"))
    assert list(rows["id"]) == ids
    first = rows[0]
    assert isinstance(first["image"], Image.Image) and first["image"].size == (16, 16)
    assert first["mask"].mode == "L"
    assert json.loads(first["metadata"])["caption"] == "number 0"
    assert (first["synthetic"], first["prompt"]) == (True, "red hair")
    assert {"image_uri", "row_group", "row"}.isdisjoint(rows.column_names)
