"""`coral bench edits` on random networks: which times are measured, not how short they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coral_core.editors import EDITORS, FitScope
from pipelines.bench.cases import SceneSelection
from pipelines.bench.edit_cost import BATCH, SLOW, EditCost, check_method, measure_edits
from pipelines.bench.method_quality import QualityConfig, open_bench
from pipelines.bench.prompts import BenchPrompt
from pipelines.bench.workers import Done
from pipelines.cli.bench import bench_app
from tests.inverters import BASE, shipping_copy, shorten_fits, shorten_search

PLAIN = "styleclip-directions"
PROMPTS = (
    BenchPrompt(id="wall", kind="recolour", source="a photo", target="a green wall", wants={"background": "green"}),
    BenchPrompt(id="shades", kind="add", source="a photo", target="shades", wants={"glasses": "sunglasses"}),
)


@pytest.fixture
def config(tmp_path: Path, judged_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QualityConfig]:
    """A bundle that ships an artifact, small fits, and a short search."""
    shorten_fits(monkeypatch, BASE, PLAIN)
    shorten_search(monkeypatch)
    folder = shipping_copy(judged_bundle, tmp_path / "shipping")
    yield QualityConfig(bundle=str(folder), folder=tmp_path / "runs", selection=SceneSelection(scenes=1))
    open_bench.cache_clear()


@pytest.mark.parametrize("method", [BASE, PLAIN])
def test_every_clock_has_run(method: str, config: QualityConfig) -> None:
    heard: list[Done] = []
    cost = measure_edits(open_bench(config), method, PROMPTS, BATCH, 2, heard.append)
    assert (cost.method, cost.images, cost.prompts) == (method, BATCH, 2)
    assert min(cost.passes_seconds, cost.edit_seconds, cost.search_seconds) > 0
    assert cost.ratio == cost.edit_seconds / cost.passes_seconds
    assert cost.gain == pytest.approx(cost.search_seconds / (cost.edit_seconds / (BATCH * 2)))
    assert [(done.count, done.total) for done in heard] == [(BATCH, BATCH)]


def test_images_come_in_whole_batches_and_prompts_again_and_again(config: QualityConfig) -> None:
    heard: list[Done] = []
    cost = measure_edits(open_bench(config), BASE, PROMPTS, BATCH + 1, 3, heard.append)
    assert (cost.images, cost.prompts) == (2 * BATCH, 3)
    assert [done.count for done in heard] == [BATCH, BATCH + 1]
    assert [done.seconds for done in heard] == sorted(done.seconds for done in heard)


def test_what_an_edit_costs_follows_from_the_clocks() -> None:
    cost = EditCost("m", images=100, prompts=20, passes_seconds=8.0, edit_seconds=10.0, search_seconds=0.5)
    assert cost.ratio == 1.25
    assert cost.gain == 100.0


SERVE_ANY = [name for name, row in EDITORS.items() if row.scope in (FitScope.DOMAIN, FitScope.BASE)]


@pytest.mark.parametrize("method", [name for name in EDITORS if name not in SERVE_ANY])
def test_a_method_that_serves_one_prompt_names_those_that_serve_any(method: str) -> None:
    with pytest.raises(
        ValueError, match=f"{method} is fitted per prompt or image; choose one of {', '.join(SERVE_ANY)}"
    ):
        check_method(method)


def test_methods_that_serve_any_prompt_may_be_timed() -> None:
    assert [check_method(name) for name in (PLAIN, BASE)] == [PLAIN, BASE]
    with pytest.raises(ValueError, match="unknown method 'clip'; known: "):
        check_method("clip")


def test_the_command_prints_a_line_and_writes_the_numbers(config: QualityConfig, tmp_path: Path) -> None:
    entries = [prompt.model_dump() for prompt in PROMPTS]
    (prompts := tmp_path / "mine.yaml").write_text(json.dumps(entries))
    paths = ["--bundle", config.bundle, "--folder", str(config.folder), "--json", str(tmp_path / "e.json")]
    options = ["--prompts", str(prompts), "--images", "3", "--count", "2", *paths]
    result = CliRunner().invoke(bench_app, ["edits", *options], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"{BASE}: {BATCH} images, 2 prompts each in " in result.stdout and SLOW in result.stdout
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["ratio"] == found["edit_seconds"] / found["passes_seconds"]
    assert found["gain"] > 0 and found["images"] == BATCH
