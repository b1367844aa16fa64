"""`coral export` and `coral query` as they are typed, on folders and on buckets."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import webdataset
from PIL import Image
from typer.testing import CliRunner

from manifests.parquet.reader import read_rows
from manifests.stores.open import open_store
from manifests.stores.s3_options import S3Options
from pipelines.cli.app import app
from pipelines.cli.export import parse_size
from tests.emulator import Emulator
from tests.painted import publish_painted
from tests.tars import write_shards


def coral(*arguments: object) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_export_to_a_folder_prints_what_it_wrote(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 4)
    plan, _ = publish_painted(make_job())
    where = ("--where", "direction > 0.4", "--with-masks", "--max-samples", "3")
    for attempt in ("4 samples in 2 files (", "2 of them there before"):
        assert attempt in coral("export", plan.output, tmp_path / "to", *where)
    urls = [str(path) for path in sorted((tmp_path / "to").glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(samples) == 4
    assert all({"png", "json", "txt", "mask.png"} <= sample.keys() for sample in samples)
    assert json.loads((tmp_path / "to" / "_export.json").read_bytes())["selection"]["where"] == "direction > 0.4"


def test_a_wrong_condition_or_query_is_an_error_and_nothing_is_written(
    tmp_path: Path, make_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 2)
    plan, _ = publish_painted(make_job())
    for arguments, says in (
        (("query", plan.output, "DROP TABLE manifest"), "a query is one SELECT"),
        (("export", plan.output, tmp_path / "to", "--where", "no_such_column"), "by itself is no condition"),
        (("export", plan.output, tmp_path / "to", "--where", "false"), "no row with an image"),
    ):
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        assert result.exit_code == 1 and says in str(result.exception)
    assert not (tmp_path / "to").exists()


def test_options_may_stand_between_the_output_and_the_destination(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 4)
    plan, _ = publish_painted(make_job())
    said = coral(
        *("export", plan.output, "--where", "prompt = 'red hair' AND direction > 0.4"),
        *("--to", "webdataset", tmp_path / "to"),
    )
    assert "2 samples in 1 file (" in said
    assert (tmp_path / "to" / "coral-000000.tar").is_file()


def test_output_and_destination_may_be_buckets(
    tmp_path: Path, make_job: Callable[..., Any], emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"s3://{emulator.bucket()}"
    s3 = S3Options(endpoint=emulator.endpoint)
    sources = open_store(f"{bucket}/in", s3)
    for path in write_shards(tmp_path, 2, 2):
        sources.put_file(path.name, path)
    job = make_job(inputs=(f"{bucket}/in/in-*.tar",), output=f"{bucket}/out", s3=s3)
    publish_painted(job)
    monkeypatch.setenv("CORAL_S3_ENDPOINT", emulator.endpoint)

    sql = "SELECT prompt, count(*) AS n FROM manifest GROUP BY prompt ORDER BY prompt"
    assert json.loads(coral("query", f"{bucket}/out", sql, "--format", "json")) == [
        {"prompt": "a smile", "n": 4},
        {"prompt": "red hair", "n": 4},
    ]
    assert "8 samples in 1 file (" in coral("export", f"{bucket}/out", f"{bucket}/tars")
    data = open_store(f"{bucket}/tars", s3).read("coral-000000.tar")
    (tmp_path / "got.tar").write_bytes(data)
    samples = list(webdataset.WebDataset(str(tmp_path / "got.tar"), shardshuffle=False))
    assert {sample["txt"] for sample in samples} == {b"number 0", b"number 1", b"number 100", b"number 101"}
    coral("export", f"{bucket}/out", f"{bucket}/table", "--to", "parquet", "--where", "prompt = 'a smile'")
    rows = list(read_rows(open_store(f"{bucket}/table", s3), "data/coral-000000.parquet"))
    assert len(rows) == 4
    assert Image.open(io.BytesIO(rows[0]["image"]["bytes"])).size == (16, 16)


def test_the_file_size_is_given_with_a_unit() -> None:
    assert [parse_size(text) for text in ("256MB", "1GiB", "500")] == [256_000_000, 2**30, 500]
    for text in ("", "many", "-1", "0", "3 apples"):
        with pytest.raises(ValueError, match="such as 256MB"):
            parse_size(text)
