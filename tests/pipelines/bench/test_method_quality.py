"""The benchmark on random networks: the number of records and what is stored, not their quality."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coral_core.editors import EDITORS
from coral_core.fit import FitConfig
from pipelines.bench import oracles
from pipelines.bench.bench_report import write_report
from pipelines.bench.cases import SceneSelection
from pipelines.bench.method_quality import QualityConfig, check_methods, measure_quality, open_bench
from pipelines.bench.prompts import BenchPrompt
from pipelines.bench.records import FIGURES, Record, means
from pipelines.bench.workers import Done

METHOD = "coral-direction-attention"
PROMPTS = (
    BenchPrompt(id="wall", kind="recolour", source="a photo", target="a green wall", wants={"background": "green"}),
    BenchPrompt(id="shades", kind="add", source="a photo", target="shades", wants={"glasses": "sunglasses"}),
)


@pytest.fixture
def make_config(tmp_path: Path, judged_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    tiny = FitConfig(steps=2, batch_size=2, source_samples=4)
    config = replace(EDITORS[METHOD].config, start="regression")
    monkeypatch.setitem(EDITORS, METHOD, replace(EDITORS[METHOD], fit=tiny, config=config))  # type: ignore[arg-type]
    monkeypatch.setattr(oracles, "PAIRS", 3)

    def make(bundle: Path = judged_bundle, **selection: Any) -> QualityConfig:
        return QualityConfig(
            bundle=str(bundle), folder=tmp_path, selection=SceneSelection(**{"scenes": 4, **selection})
        )

    yield make
    open_bench.cache_clear()


def measure(config: QualityConfig, labels: list[str] | None = None) -> dict[tuple[str, str], Record]:
    def on_done(done: Done) -> None:
        if labels is not None:
            labels.append(done.label)

    records = means(measure_quality(config, (METHOD,), PROMPTS, 1, on_done))
    return {(record.method, record.prompt): record for record in records}


def test_every_method_and_baseline_has_its_records(make_config: Callable[..., Any]) -> None:
    config = make_config()
    found = measure(config)
    methods = ("inversion", METHOD, "oracle-direction", "oracle-affine", "oracle", "answer")
    assert tuple(dict.fromkeys(method for method, _ in found)) == methods
    assert set(found) == {(m, p) for m in methods for p in ("wall", "shades", "kind:recolour", "kind:add", "mean")}
    for (method, _), record in found.items():
        flat = record.to_json()
        assert set(flat) == {"method", "prompt", "kind", "n", *FIGURES}
        json.dumps(flat, allow_nan=False)
        assert 0 < record.n <= 8
        assert (record.figures["fit_seconds"] is not None) == (method == METHOD)
        assert record.figures["success_second"] is not None
        assert record.figures["right"] is None and record.figures["right_share"] is None  # the segments are others
    mean = found[METHOD, "mean"]
    assert mean.n == found[METHOD, "wall"].n + found[METHOD, "shades"].n
    path = write_report(config, "tiny", (METHOD,), list(found.values()))
    page = path.read_text()
    assert "other segments" in page
    assert page.index("| oracle-direction |") < page.index("| oracle-affine |") < page.index("| oracle |")
    assert page.index("## mean") < page.index("## kind:add") < page.index("## wall")
    assert "![shades](shades.png)" in page and (path.parent / "shades.png").stat().st_size > 0


def test_the_baselines_mark_both_ends(make_config: Callable[..., Any]) -> None:
    found = measure(make_config())
    answer, nothing = found["answer", "mean"].figures, found["inversion", "mean"].figures
    for name in ("mask_precision", "mask_recall", "mask_iou", "mask_claimed"):
        assert answer[name] == 1.0
    assert answer["ghost"] == 0.0
    assert answer["keep_recon"] == answer["keep_source"] == nothing["keep_recon"] == 60.0
    assert nothing["mask_recall"] == 1.0
    assert (answer["answer_psnr"] or 0) > 35 > (nothing["answer_psnr"] or 99)


def test_fits_serve_any_scenes_and_records_are_made_once(make_config: Callable[..., Any], tmp_path: Path) -> None:
    first_labels: list[str] = []
    first = measure(make_config(), first_labels)
    editors = {path: path.read_bytes() for path in tmp_path.glob("editors/*")}
    records = {path: path.read_bytes() for path in tmp_path.glob("records/*")}
    assert sum(label.startswith("fit") for label in first_labels) == len(PROMPTS)
    open_bench.cache_clear()
    assert measure(make_config()) == first
    open_bench.cache_clear()
    labels: list[str] = []
    other = measure(make_config(seed=1, scenes=3), labels)
    assert other != first
    assert not any(label.startswith("fit") for label in labels)
    assert {path: path.read_bytes() for path in tmp_path.glob("editors/*")} == editors
    assert all(path.read_bytes() == data for path, data in records.items())


def test_a_stopped_benchmark_goes_on(make_config: Callable[..., Any], tmp_path: Path) -> None:
    def stop(done: Done) -> None:
        if done.label.startswith(f"measure {METHOD}"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_quality(make_config(), (METHOD,), PROMPTS, 1, stop)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    labels: list[str] = []
    assert len(measure(make_config(), labels)) == 30
    assert not any(label.startswith("fit") for label in labels)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())


def test_without_a_second_judge_its_figure_is_null(
    make_config: Callable[..., Any], judged_bundle: Path, tmp_path: Path
) -> None:
    lone = tmp_path / "lone"
    lone.mkdir()
    for path in judged_bundle.glob("*.safetensors"):
        if path.stem != "judge2":
            (lone / path.name).write_bytes(path.read_bytes())
    config = make_config(lone)
    found = measure(config)
    assert all(record.figures["success_second"] is None for record in found.values())
    assert "no second judge" in write_report(config, "lone", (METHOD,), list(found.values())).read_text()


def test_an_edit_without_a_case_is_reported_and_not_averaged(make_config: Callable[..., Any]) -> None:
    never = BenchPrompt(
        id="never", kind="recolour", source="a photo", target="t", wants={"hair_style": "bald", "hair_color": "red"}
    )
    config = make_config(scenes=1, seed=4)
    bench = open_bench(config)
    bald = [scene.edited("hat", "none").edited("hair_style", "bald") for scene in bench.scenes]
    empty = replace(bench, scenes=tuple(bald)).record("inversion", never)
    assert empty.n == 0 and empty.pictures == "" and set(empty.figures.values()) == {None}
    full = bench.record("inversion", PROMPTS[0])
    assert list(means([empty, full]))[-1].figures == full.figures


def test_unknown_methods_are_answered_with_the_known() -> None:
    assert check_methods([]) == tuple(EDITORS)
    assert check_methods([METHOD, METHOD]) == (METHOD,)
    with pytest.raises(ValueError, match=METHOD):
        check_methods(["coral-directon"])


@pytest.mark.parametrize("selection", [SceneSelection(split="tset"), SceneSelection(scenes=0)])
def test_impossible_choices_are_refused(selection: SceneSelection) -> None:
    with pytest.raises(ValueError):
        selection.seeds()


def test_scenes_are_drawn_without_repetition_and_by_seed() -> None:
    assert SceneSelection(seed=1).seeds() == SceneSelection(seed=1).seeds() != SceneSelection(seed=2).seeds()
    assert len(set(SceneSelection(scenes=500).seeds())) == 500
