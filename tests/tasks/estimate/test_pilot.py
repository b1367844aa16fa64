"""A pilot is small, represents every kind of work, forecasts the measured time, and leaves no file. The test in
tests/pipelines/cli/test_plan_tables.py runs it with Ray actors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from manifests.stores.open import open_store
from manifests.stores.s3_options import AMBIENT
from tasks.artifacts.loaded import Editors
from tasks.estimate.forecast import forecast
from tasks.estimate.pilot import Pilot, PilotShards, scratch_output
from tasks.estimate.pilot_fits import FEW_BATCHES, MORE_BATCHES
from tasks.estimate.workload import count_plan, pending_work
from tasks.plan.plan import Plan, make_plan, record_plan
from tasks.publish.gc import find_leftovers
from tasks.spec.resources import Price
from tasks.worker.edit import edit_shard
from tasks.worker.fit import fit_editor
from tasks.worker.invert import invert_shard
from tests.painted import publish_painted
from tests.tars import members_of, write_shards, write_tar


def do(plan: Plan, models: Any) -> dict[tuple[str, str], float]:
    """Execute the works of a plan one after the other in this process. Returns the seconds of each."""
    store, seconds = open_store(plan.output), dict[tuple[str, str], float]()

    def timed(wave: str, key: str, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        seconds[wave, key] = time.perf_counter() - started

    for fit in plan.fits:
        timed("fit", fit.id, partial(fit_editor, fit, models, store))
    for request in plan.invert_requests():
        timed("invert", request.id, partial(invert_shard, request, models, store))
    editors = Editors(store, models)
    for requests in plan.edit_requests():
        timed("edit", requests[0].inversion.id, partial(edit_shard, requests, editors, models, store))
    return seconds


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Like an actor that asks for one CPU; times of two threads vary too much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_forecast_comes_true(
    tmp_path: Path, make_job: Callable[..., Any], models: Any, pilot_shards: Callable[..., PilotShards]
) -> None:
    """Of a tar with many headers. There are three attempts, because the machine may be busy for a while."""
    sidecars = [[(f"{index:04d}.{number}.cls", b"0") for number in range(12)] for index in range(512)]
    members = [member for index in range(512) for member in (*members_of(index), *sidecars[index])]
    parts = pilot_shards(write_tar(tmp_path / "in-000.tar", members), batch=16, samples=32)

    def said_to_took(output: str) -> list[float]:
        job = make_job(output=str(tmp_path / output), batch_size=16)
        plan = make_plan(replace(job, edits=job.edits[:1]))
        store = open_store(plan.output)
        left, counts = pending_work(store, plan), count_plan(store, plan)
        pilot = Pilot.of(plan, left, parts, f"{plan.output}/pilot")
        times = pilot.times(open_store(pilot.plan.output), do(pilot.plan, models), left)
        said, took = forecast(left, counts, replace(times, start=0.0), 1, Price()).waves, do(plan, models)
        return [3600 * said[wave] / took[wave, left.inversions[0].id] for wave in ("invert", "edit")]

    found: list[list[float]] = []
    while not found or not all(1 / 2.5 < each < 2.5 for each in found[-1]):
        assert len(found) < 3, f"said to took, for invert and edit: {found}"
        found.append(said_to_took(f"out-{len(found)}"))


@pytest.fixture
def plan(tmp_path: Path, make_job: Callable[..., Any]) -> Plan:
    """Three edits of two methods, so two kinds of fit, over two shards of 5 samples."""
    write_shards(tmp_path, 2, 5)
    job = make_job()
    red, smile = job.edits
    return make_plan(replace(job, edits=(red, smile, replace(red, id="blue", target="blue hair"))))


@pytest.fixture
def pilot_of(pilot_shards: Callable[..., PilotShards]) -> Callable[[Plan], Pilot]:
    def pilot(plan: Plan) -> Pilot:
        shards = pilot_shards(Path(plan.shards[0].uri.removeprefix("file://")), batch=2, samples=2)
        return Pilot.of(plan, pending_work(open_store(plan.output), plan), shards, "scratch")

    return pilot


def test_each_kind_of_fit_is_done_once_for_all_prompts(plan: Plan, pilot_of: Callable[[Plan], Pilot]) -> None:
    pilot = pilot_of(plan)
    assert len(plan.fits) == 3 and len(pilot.fits) == 2 and len(pilot.plan.fits) == 2 * 4
    assert [edit.slug for edit in pilot.plan.edits] == ["red", "smile", "blue"]
    red, smile, blue = (edit.fit_id for edit in pilot.plan.edits)
    assert red == blue != smile
    assert {red, smile} <= {fit.id for fit in pilot.plan.fits}
    assert FEW_BATCHES < MORE_BATCHES


def test_an_excerpt_is_in_place_of_the_shards(plan: Plan, pilot_of: Callable[[Plan], Pilot]) -> None:
    *parts, whole = pilot_of(plan).plan.shards
    assert [Path(shard.uri).name for shard in parts] == ["excerpt.tar"] * 3
    assert (whole.uri, whole.limit) == (plan.shards[0].uri, 2)


def test_what_is_done_is_not_measured(
    tmp_path: Path, make_job: Callable[..., Any], pilot_of: Callable[[Plan], Pilot]
) -> None:
    write_shards(tmp_path, 1, 3)
    job = make_job()
    publish_painted(replace(job, edits=job.edits[:1]))
    pilot = pilot_of(make_plan(job))
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
