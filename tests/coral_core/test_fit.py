from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from coral_core.bundle.models import Models
from coral_core.editors.base import Editor, FitScope
from coral_core.fit import FitConfig, StepCounter, fit, minibatches, ramp, schedule
from coral_core.stages import ParameterGroup, Stage
from coral_core.types import Inversion


class Centre(Editor):
    """Learns the mean latent in the first stage and the mean of its square in the second."""

    fit_scope = FitScope.DOMAIN

    def __init__(self, models: Models) -> None:
        super().__init__(models)
        self.first = nn.Parameter(torch.zeros(models.generator.w_dim))
        self.second = nn.Parameter(torch.zeros(models.generator.w_dim))
        self.seen: list[tuple[str, tuple[str, ...]]] = []

    def stages(self) -> Sequence[Stage]:
        return (
            Stage("first", (ParameterGroup((self.first,), 0.1),), share=3),
            Stage("second", (ParameterGroup((self.second,), 0.1),), share=1),
        )

    def losses(self, batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        self.seen.append((stage.name, batch.keys))
        w_BD = batch.ws_BLD[:, 0]
        return {
            "mean": (w_BD - self.first).square().mean(),
            "square": 0.5 * (w_BD.square() - self.second).square().mean(),
        }


@pytest.fixture
def source(models: Models, make_inversion: Callable[..., Inversion]) -> Inversion:
    return make_inversion(models, count=10)


def test_a_fit_finds_the_minimum(models: Models, source: Inversion) -> None:
    editor = Centre(models)
    report = fit(editor, source, FitConfig(steps=400, batch_size=10, settle=0.0))
    torch.testing.assert_close(editor.first.detach(), source.ws_BLD[:, 0].mean(0), atol=0.02, rtol=0)
    assert report.steps == 400
    assert report.seconds > 0
    assert report.losses["total"] == pytest.approx(report.losses["mean"] + report.losses["square"], rel=1e-4)


def test_only_the_parameters_of_a_stage_train(models: Models, source: Inversion) -> None:
    editor = Centre(models)
    after_first: list[Tensor] = []

    def progress(step: int, total: int, losses: Mapping[str, float]) -> None:
        if step <= 30:
            assert not editor.second.any()
        if step == 30:
            after_first.append(editor.first.detach().clone())

    fit(editor, source, FitConfig(steps=40, batch_size=4), progress)
    assert torch.equal(editor.first.detach(), after_first[0])
    assert editor.second.any()
    assert [name for name, _ in editor.seen] == ["first"] * 30 + ["second"] * 10


def test_frozen_networks_stay_as_they_were(models: Models, source: Inversion) -> None:
    before = {key: value.clone() for key, value in models.generator.state_dict().items()}
    fit(Centre(models), source, FitConfig(steps=3))
    assert all(torch.equal(before[key], value) for key, value in models.generator.state_dict().items())
    assert all(parameter.grad is None for parameter in models.generator.parameters())


def test_the_same_seed_fits_the_same_bits(models: Models, source: Inversion) -> None:
    first, again, other = Centre(models), Centre(models), Centre(models)
    for editor, seed in ((first, 1), (again, 1), (other, 2)):
        fit(editor, source, FitConfig(steps=20, batch_size=3, seed=seed))
    assert torch.equal(first.first, again.first)
    assert first.seen == again.seen
    assert first.seen != other.seen


def test_every_pass_has_each_sample_at_most_once() -> None:
    batches = minibatches(10, 4, seed=0)
    for _ in range(3):
        shown = torch.cat([next(batches), next(batches)])
        assert len(set(shown.tolist())) == 8
    assert sorted(next(minibatches(3, 8, seed=0)).tolist()) == [0, 1, 2]


def test_the_ramp_is_that_of_styleclip() -> None:
    expected = {0.0: 0.0, 0.025: 0.5, 0.05: 1.0, 0.5: 1.0, 0.75: 1.0, 0.875: 0.5, 1.0: 0.0}
    assert {t: ramp(t) for t in expected} == pytest.approx(expected, abs=1e-9)


def test_stages_share_the_steps_without_gap() -> None:
    planned = schedule([Stage("a", (), 10), Stage("b", (), 1), Stage("c", (), 1)], 25)
    assert [len(steps) for _, steps in planned] == [21, 2, 2]
    assert [step for _, steps in planned for step in steps] == list(range(25))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_named(models: Models, source: Inversion, value: float) -> None:
    class Broken(Centre):
        def losses(self, batch: Inversion, stage: Stage) -> dict[str, Tensor]:
            terms = super().losses(batch, stage)
            return {**terms, "square": terms["square"] * (value if len(self.seen) == 3 else 1.0)}

    editor = Broken(models)
    with pytest.raises(RuntimeError, match=rf"stage 'first', step 3: square = {value}"):
        fit(editor, source, FitConfig(steps=8))
    assert editor.first.isfinite().all()


def test_progress_counts_every_step_and_the_report_is_json(models: Models, source: Inversion) -> None:
    calls: list[tuple[int, int]] = []
    report = fit(Centre(models), source, FitConfig(steps=7), lambda step, total, losses: calls.append((step, total)))
    assert calls == [(step, 7) for step in range(1, 8)]
    assert set(json.loads(json.dumps(asdict(report)))["losses"]) == {"mean", "square", "total"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0; give 1 or more"),
        ({"source_truncation": 1.5}, "source_truncation is 1.5"),
        ({"precision": "float16"}, "float16.*float32, bfloat16"),
    ],
)
def test_impossible_fits_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitConfig(**change)  # type: ignore[arg-type]


def test_a_settled_loss_skips_to_the_ramp_down() -> None:
    counter = StepCounter(range(100, 300), settle=0.01)
    steps = []
    while counter.step < 300:
        steps.append(counter.step)
        counter.advance(max(0.2, 1 - 0.02 * len(steps)))  # falls for 40 steps
    jump = next(after for before, after in pairwise(steps) if after != before + 1)
    assert jump == 250
    assert 155 < steps[steps.index(jump) - 1] < 180
    assert steps[-1] == 299


def test_an_easy_first_batch_and_noise_do_not_stop_a_fit_that_gets_better() -> None:
    draw = torch.Generator().manual_seed(3)
    counter = StepCounter(range(200), settle=0.002)
    for step in range(200):
        assert counter.step == step
        noise = 0.03 * torch.randn((), generator=draw).item()
        counter.advance(0.8 if step == 0 else 0.99**step * (1 + noise))


@pytest.mark.parametrize("settle", [0.0, 0.01])
def test_a_loss_that_falls_takes_every_step(settle: float) -> None:
    counter = StepCounter(range(50), settle)
    for step in range(50):
        assert counter.step == step
        counter.advance(0.9**step if settle else 1.0)


def test_a_fit_reports_the_steps_it_took(models: Models, source: Inversion) -> None:
    reported: list[int] = []
    config = FitConfig(steps=400, batch_size=10, settle=0.5)
    report = fit(Centre(models), source, config, lambda done, total, losses: reported.append(done))
    assert report.steps == len(reported) < 400
    assert reported[-1] == 400
