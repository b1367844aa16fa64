"""A pilot is small, stands for every kind of work, and leaves nothing behind. The whole of it runs in test_cost of
pipelines/."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.s3_options import AMBIENT
from manifests.store import open_store
from tasks.cost import left_of
from tasks.gc import find_leftovers
from tasks.pilot import FEW_BATCHES, MORE_BATCHES, MORE_STEPS, Pilot, ShortFits, scratch_output
from tasks.plan import Plan, make_plan, record_plan
from tasks.requests import FitRequest
from tests.painted import publish_painted
from tests.tars import write_shards


def fit_of(steps: int = 300, source_samples: int = 512) -> FitRequest:
    options = {"area": 0.1, "fit": {"steps": steps, "batch_size": 8, "source_samples": source_samples}}
    return FitRequest(method="some", options=options, target="red hair", source="a person", digests={})


@pytest.mark.parametrize("steps", [1, 2, 300, 20_000])
@pytest.mark.parametrize("source_samples", [8, 16, 64, 512])
def test_a_fit_is_extrapolated_in_steps_and_samples(steps: int, source_samples: int) -> None:
    def takes(fit: FitRequest) -> float:
        options: Any = fit.options["fit"]
        return 3.0 + 0.25 * options["steps"] + 0.125 * options["source_samples"]

    fit = fit_of(steps, source_samples)
    short = ShortFits.of(fit)
    assert max(takes(each) for each in short.all()) <= 3.0 + 0.25 * MORE_STEPS + 0.125 * MORE_BATCHES * 8
    seconds = {("fit", each.id): takes(each) for each in short.all()}
    assert short.whole(fit, seconds) == pytest.approx(takes(fit))


def test_noise_makes_no_fit_faster_than_its_shortest() -> None:
    fit = fit_of()
    short = ShortFits.of(fit)
    seconds = {("fit", short.least.id): 2.0, ("fit", short.longer.id): 1.5, ("fit", short.wider.id): 1.9}
    assert short.whole(fit, seconds) == 2.0


@pytest.fixture
def plan(tmp_path: Path, make_job: Callable[..., Any]) -> Plan:
    """Three edits of two methods, so two kinds of fit, over two shards of 5 samples."""
    write_shards(tmp_path, 2, 5)
    job = make_job()
    red, smile = job.edits
    return make_plan(replace(job, edits=(red, smile, replace(red, id="blue", target="blue hair"))))


def pilot_of(plan: Plan, samples: int) -> Pilot:
    return Pilot.of(plan, left_of(open_store(plan.output), plan), samples, "scratch")


def test_each_kind_of_fit_is_done_once_for_all_prompts(plan: Plan) -> None:
    pilot = pilot_of(plan, 4)
    assert len(plan.fits) == 3 and len(pilot.kinds) == 2 and len(pilot.plan.fits) == 2 * 4
    assert [edit.slug for edit in pilot.plan.edits] == ["red", "smile", "blue"]
    red, smile, blue = (edit.fit_id for edit in pilot.plan.edits)
    assert red == blue != smile
    assert {red, smile} <= {fit.id for fit in pilot.plan.fits}
    assert FEW_BATCHES < MORE_BATCHES


def test_one_sample_warms_up_and_the_first_ones_count(plan: Plan) -> None:
    warm_up, *measured = pilot_of(plan, 7).plan.shards
    assert (warm_up.uri, warm_up.limit) == (plan.shards[0].uri, 1)
    assert [shard.limit for shard in measured] == [None, 2]
    assert warm_up.id not in {shard.id for shard in measured}


def test_what_is_done_is_not_measured(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 3)
    job = make_job()
    publish_painted(replace(job, edits=job.edits[:1]))
    pilot = pilot_of(make_plan(job), 2)
    assert [edit.slug for edit in pilot.plan.edits] == ["smile"]


def test_what_a_killed_pilot_leaves_behind_is_found(tmp_path: Path, plan: Plan) -> None:
    store = open_store(plan.output)
    record_plan(store, plan)
    with scratch_output(plan.output, AMBIENT) as scratch:
        open_store(scratch).put_new("commits/a.json", b"{}")
        (found,) = find_leftovers(store, hours=0, now=time.time() + 1).objects
    assert found.key.startswith("pilots/") and found.key.endswith("/commits/a.json")


@pytest.mark.parametrize("existing", [True, False])
def test_a_scratch_output_lies_below_the_output_and_vanishes(tmp_path: Path, existing: bool) -> None:
    output = tmp_path / "out"
    if existing:
        open_store(output).put_new("plans/a.json", b"{}")
    with pytest.raises(ValueError, match="half way"), scratch_output(str(output), AMBIENT) as scratch:
        assert Path(scratch).is_relative_to(output)
        open_store(scratch).put_new("commits/a.json", b"{}")
        raise ValueError("half way")
    assert [info.key for info in open_store(output).list("")] == (["plans/a.json"] if existing else [])
    assert output.exists() is existing
    assert not (output / "pilots").exists()
