from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coral_core.editors import EDITORS
from coral_core.fit import FitConfig
from pipelines.bench import network_quality as bench_models
from pipelines.bench import oracles
from pipelines.bench.method_quality import open_bench
from pipelines.cli.bench import bench_app

METHOD = "coral-direction-attention"
PROMPTS = '- {id: wall, kind: recolour, source: "a photo", target: "a green wall", wants: {background: green}}\n'


def test_quality_prints_a_table_and_writes_every_record(
    tmp_path: Path, judged_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = FitConfig(steps=1, batch_size=2, source_samples=2)
    config = replace(EDITORS[METHOD].config, start="regression")
    monkeypatch.setitem(EDITORS, METHOD, replace(EDITORS[METHOD], fit=tiny, config=config))  # type: ignore[arg-type]
    monkeypatch.setattr(oracles, "PAIRS", 2)
    (prompts := tmp_path / "mine.yaml").write_text(PROMPTS)
    paths = ["--bundle", str(judged_bundle), "--folder", str(tmp_path / "runs"), "--json", str(tmp_path / "q.json")]
    options = ["--methods", METHOD, "--prompts", str(prompts), "--scenes", "3", "--workers", "1", *paths]
    result = CliRunner().invoke(bench_app, ["quality", *options], catch_exceptions=False)
    open_bench.cache_clear()
    assert result.exit_code == 0
    assert f"| {METHOD} |" in result.stdout
    records = json.loads((tmp_path / "q.json").read_text())
    assert [(record["method"], record["prompt"]) for record in records if record["method"] == METHOD] == [
        (METHOD, "wall"),
        (METHOD, "kind:recolour"),
        (METHOD, "mean"),
    ]
    assert (tmp_path / "runs" / "reports" / "mine-dev-3-0" / "wall.png").is_file()


def test_models_prints_and_writes_one_object_per_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"bundle": {"megabytes": 1.5}, "judge2": {"accuracy_mean": None, "accuracy:hat": 0.25}}
    monkeypatch.setattr(bench_models, "measure_models", lambda config, on_done: found)
    result = CliRunner().invoke(bench_app, ["models", "--json", str(tmp_path / "m.json")], catch_exceptions=False)
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["bundle", "megabytes", "1.5"],
        ["judge2", "accuracy_mean", "–"],
    ]
    assert json.loads((tmp_path / "m.json").read_text()) == found
