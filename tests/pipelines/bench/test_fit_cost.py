from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coral_core.editors import EDITORS
from coral_core.fit import FitConfig
from pipelines.bench.cases import SceneSelection
from pipelines.bench.fit_cost import FitMeasurement, measure_fits, summary
from pipelines.bench.method_quality import QualityConfig, open_bench
from pipelines.bench.prompts import BenchPrompt

METHOD = "coral-mapper-attention"
WALL = BenchPrompt(id="wall", kind="recolour", source="a photo", target="a green wall", wants={"background": "green"})


def fit(evaluations: dict[int, tuple[float, float]], step: float = 0.1, plain: float = 0.3) -> FitMeasurement:
    return FitMeasurement("m", evaluations[max(evaluations)][0], step, plain, evaluations)


def test_the_goal_is_reached_when_the_prompts_together_reach_it() -> None:
    slow = fit({10: (1.0, 0.0), 20: (2.0, 0.7), 30: (3.0, 1.0)})
    fast = fit({10: (1.2, 0.9), 20: (2.2, 0.9)})  # ended after 20 steps
    found = summary([slow, fast])
    assert found.goal_seconds == pytest.approx((2.0 + 2.2) / 2)
    assert found.success == pytest.approx(0.95)
    assert found.gain == pytest.approx(3.0)


def test_a_goal_that_is_not_reached_has_no_time() -> None:
    assert summary([fit({10: (1.0, 0.5)})]).goal_seconds is None


def test_a_real_fit_is_timed_without_its_evaluations(
    tmp_path: Path, judged_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = FitConfig(steps=20, batch_size=2, source_samples=4)
    config = replace(EDITORS[METHOD].config, start="regression", embedding=0.0, clip=2.0, directional=3.0)
    monkeypatch.setitem(EDITORS, METHOD, replace(EDITORS[METHOD], fit=tiny, config=config))  # type: ignore[arg-type]
    quality = QualityConfig(bundle=str(judged_bundle), folder=tmp_path, selection=SceneSelection(scenes=3))
    (cost,) = measure_fits(quality, [METHOD], [WALL], 1, lambda done: None)
    open_bench.cache_clear()
    assert 0 < cost.step_seconds < cost.fit_seconds
    assert 0 <= cost.success <= 1


def test_methods_without_a_fit_per_prompt_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="styleclip-optimization: not fitted per prompt; choose one of coral-"):
        measure_fits(QualityConfig(folder=tmp_path), ["styleclip-optimization"], [WALL], 1, lambda done: None)
