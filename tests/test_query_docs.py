"""The snippets of docs/query.md run, and give what the manifest has."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.parquet.row_places import image_bytes
from manifests.parquet.schema import MANIFEST_SCHEMA
from manifests.query import query
from manifests.stores.open import open_store
from tests.painted import publish_painted
from tests.readers import run_in_readers
from tests.tars import write_shards

PAGE = (Path(__file__).parent.parent / "docs" / "query.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, job_in: Callable[..., Any]) -> str:
    """Published twice, so that the folder has files of two versions."""
    folder = tmp_path_factory.mktemp("query")
    write_shards(folder, 1, 4)
    publish_painted(job_in(folder))
    write_shards(folder, 2, 4)
    plan, _ = publish_painted(job_in(folder))
    return plan.output


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[re.sub(r"\W+", " ", each)[:40] for each in SNIPPETS])
def test_every_snippet_runs(snippet: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = f"OUTPUT = {output!r}\n{snippet}"
    if snippet.startswith("# readers"):
        assert run_in_readers(code)
        return
    names: dict[str, Any] = {}
    exec(compile(code, "docs/query.md", "exec"), names)
    if "pictures" in names:
        store = open_store(output)
        rows = names["rows"].head(4).to_dict("records")
        assert list(names["pictures"]) == [image_bytes(store, row) for row in rows]
    elif "print(" in snippet:
        assert capsys.readouterr().out


def test_the_view_has_every_picture_once(output: str) -> None:
    import duckdb

    (view,) = [each for each in SNIPPETS if "TEMPORARY VIEW" in each]
    exec(compile(f"OUTPUT = {output!r}\n{view}", "docs/query.md", "exec"), {})
    store = open_store(output)
    rows = query(store, "SELECT * FROM manifest WHERE image_uri IS NOT NULL").to_pylist()
    found = duckdb.sql("SELECT key, source_uri, edit, image FROM pictures").fetchall()
    assert sorted(found) == sorted(
        (row["key"], row["source_uri"], row["edit"], image_bytes(store, row)) for row in rows
    )


def test_the_page_names_every_column() -> None:
    cells = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(MANIFEST_SCHEMA.names)


def test_a_row_without_a_picture_is_an_error(output: str) -> None:
    with pytest.raises(ValueError, match="'k' has no image: its status is 'failed'"):
        image_bytes(open_store(output), {"key": "k", "status": "failed", "image_uri": None})
