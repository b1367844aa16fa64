"""A pilot is small, stands for every kind of work, tells the truth, and leaves nothing behind. With the workers of a
cluster it runs in test_cost of pipelines/."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from manifests.stores.open import open_store
from manifests.stores.s3_options import AMBIENT
from tasks.artifacts.loaded import Editors
from tasks.estimate.forecast import forecast
from tasks.estimate.pilot import Pilot, ShortShards, scratch_output
from tasks.estimate.short_fits import FEW_BATCHES, MORE_BATCHES, MORE_STEPS, ShortFits
from tasks.estimate.workload import count_plan, left_of
from tasks.inputs.archive import count_samples, read_samples
from tasks.inputs.find import describe
from tasks.plan.plan import Plan, make_plan, record_plan
from tasks.publish.gc import find_leftovers
from tasks.spec.requests import FitRequest
from tasks.spec.resources import Price
from tasks.worker.edit import edit_shard
from tasks.worker.fit import fit_editor
from tasks.worker.invert import invert_shard
from tests.painted import publish_painted
from tests.tars import members_of, write_shards, write_tar


def fit_of(steps: int = 300, source_samples: int = 512) -> FitRequest:
    options = {"area": 0.1, "fit": {"steps": steps, "batch_size": 8, "source_samples": source_samples}}
    return FitRequest(method="styleclip-mapper", options=options, target="red hair", source="a person", digests={})


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
def short(tmp_path: Path) -> Callable[..., ShortShards]:
    """The parts of a local tar; their excerpt becomes tmp_path/excerpt.tar."""

    def put(path: Path) -> Any:
        return describe(Path(shutil.copy(path, tmp_path / "excerpt.tar")))

    def cut(tar: Path, batch: int, samples: int, limit: int | None = None) -> ShortShards:
        return ShortShards.of(replace(describe(tar), limit=limit), batch, samples, put)

    return cut


@pytest.mark.parametrize(
    ("count", "batch", "samples", "limits"),
    [
        (20, 4, 8, [1, 4, 12, 4]),
        (20, 4, 9, [1, 4, 16, 4]),  # whole batches
        (11, 4, 100, [1, 4, 8, 4]),  # no more than there are
        (7, 4, 8, [1, 7]),  # not two batches
        (1, 4, 8, [1, 2]),  # the whole is another work than the warm-up's
        (0, 4, 8, [1, 2]),
        (9, 1, 3, [1, 2, 5, 2]),
    ],
)
def test_short_works_are_whole_batches(
    tmp_path: Path, short: Callable[..., ShortShards], count: int, batch: int, samples: int, limits: list[int]
) -> None:
    (tar,) = write_shards(tmp_path, 1, count)
    parts = short(tar, batch, samples, limit=3)
    assert [shard.limit for shard in parts.all()] == limits
    assert len({shard.id for shard in parts.all()}) == len(limits)
    assert parts.samples == count


def adjacent(count: int) -> list[Any]:
    return [member for index in range(count) for member in members_of(index)]


def images_first(count: int) -> list[Any]:
    return sorted(adjacent(count), key=lambda member: not member[0].endswith("png"))


@pytest.mark.parametrize("order", [adjacent, images_first])
@pytest.mark.parametrize("lost", [0, 5000])
def test_an_excerpt_holds_the_first_samples_as_they_are(
    tmp_path: Path, short: Callable[..., ShortShards], order: Callable[[int], Any], lost: int
) -> None:
    tar = write_tar(tmp_path / "whole.tar", order(9))
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size - lost])
    parts = short(tar, batch=2, samples=2)
    excerpt = tmp_path / "excerpt.tar"
    assert list(read_samples(excerpt, parts.more)) == list(islice(read_samples(tar), 4))
    if order is adjacent:
        assert count_samples(excerpt) == 4 and 2 * excerpt.stat().st_size < tar.stat().st_size


def test_images_shards_and_bytes_are_told_apart(tmp_path: Path, short: Callable[..., ShortShards]) -> None:
    (tar,) = write_shards(tmp_path, 1, 40)
    parts = short(tar, batch=4, samples=8)
    seconds = {each.id: 3.0 + 0.25 * (each.limit or 0) for each in parts.all()}
    seconds[parts.larger.id] += 2.0  # fetched, and its headers read
    pace = parts.pace(seconds, computing=0.1)
    assert (pace.image, pace.shard, pace.byte * tar.stat().st_size) == pytest.approx((0.25, 3.0, 2.0))
    twice = replace(describe(tar), size=2 * tar.stat().st_size)
    assert pace.of(twice, 100) == pytest.approx(3.0 + 2 * 2.0 + 100 * 0.25)


def test_noise_makes_nothing_negative_and_no_image_faster_than_its_computing(
    tmp_path: Path, short: Callable[..., ShortShards]
) -> None:
    (tar,) = write_shards(tmp_path, 1, 40)
    parts = short(tar, batch=4, samples=8)
    seconds = {parts.least.id: 1.0, parts.longer.id: 0.9, parts.larger.id: 0.8}
    pace = parts.pace(seconds, computing=0.5)
    assert (pace.image, pace.shard, pace.byte) == (0.5, 0.0, 0.0)


def test_all_that_a_small_shard_takes_is_put_down_to_its_images(
    tmp_path: Path, short: Callable[..., ShortShards]
) -> None:
    (tar,) = write_shards(tmp_path, 1, 5)
    parts = short(tar, batch=4, samples=8)
    pace = parts.pace({parts.warm_up.id: 9.0, parts.longer.id: 2.0}, computing=0.1)
    assert (pace.image, pace.shard, pace.byte) == (0.4, 0.0, 0.0)


def do(plan: Plan, models: Any) -> dict[tuple[str, str], float]:
    """The works of a plan one after the other in this process: how long each took."""
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
    """As actors have that ask for one CPU; two threads that wait for each other take anything on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_forecast_comes_true(
    tmp_path: Path, make_job: Callable[..., Any], models: Any, short: Callable[..., ShortShards]
) -> None:
    """Of a tar with many headers. Three chances, as a machine may be busy for a while; a wrong idea fails them all."""
    sidecars = [[(f"{index:04d}.{number}.cls", b"0") for number in range(12)] for index in range(512)]
    members = [member for index in range(512) for member in (*members_of(index), *sidecars[index])]
    parts = short(write_tar(tmp_path / "in-000.tar", members), batch=16, samples=32)

    def said_to_took(output: str) -> list[float]:
        job = make_job(output=str(tmp_path / output), batch_size=16)
        plan = make_plan(replace(job, edits=job.edits[:1]))
        store = open_store(plan.output)
        left, counts = left_of(store, plan), count_plan(store, plan)
        pilot = Pilot.of(plan, left, parts, f"{plan.output}/pilot")
        pace = pilot.pace(open_store(pilot.plan.output), do(pilot.plan, models), left)
        said, took = forecast(left, counts, replace(pace, start=0.0), 1, Price()).waves, do(plan, models)
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
def pilot_of(short: Callable[..., ShortShards]) -> Callable[[Plan], Pilot]:
    def pilot(plan: Plan) -> Pilot:
        shards = short(Path(plan.shards[0].uri.removeprefix("file://")), batch=2, samples=2)
        return Pilot.of(plan, left_of(open_store(plan.output), plan), shards, "scratch")

    return pilot


def test_each_kind_of_fit_is_done_once_for_all_prompts(plan: Plan, pilot_of: Callable[[Plan], Pilot]) -> None:
    pilot = pilot_of(plan)
    assert len(plan.fits) == 3 and len(pilot.kinds) == 2 and len(pilot.plan.fits) == 2 * 4
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
