"""The card's own lines load the export."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.stores.open import open_store
from tasks.export.export import ExportSpec, export
from tasks.export.files import FileOptions, Kind
from tests.painted import publish_painted
from tests.tars import write_shards


@pytest.mark.parametrize(("kind", "variable"), [("webdataset", "samples"), ("parquet", "rows")])
def test_what_the_card_says_runs(
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
    assert "8 edited images" in card and "| red hair |" in card
