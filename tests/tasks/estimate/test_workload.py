"""The workload of a plan is that of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.stores.open import open_store
from tasks.estimate import workload
from tasks.estimate.workload import SAMPLE_BYTES, Estimate, Load, SampleCounts, count_plan, estimate, pending_work
from tasks.plan.plan import Plan, make_plan
from tasks.spec.requests import Shard
from tasks.spec.resources import Price
from tests.painted import publish_painted
from tests.tars import write_shards


def estimate_of(plan: Plan) -> Estimate:
    store = open_store(plan.output, plan.s3)
    return estimate(store, plan, pending_work(store, plan), count_plan(store, plan))


def data_bytes(plan: Plan) -> int:
    store = open_store(plan.output)
    return sum(info.size for prefix in ("data/", "rows/") for info in store.list(prefix))


def test_everything_is_counted_before_the_first_run(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    paths = write_shards(tmp_path, 2, 3)
    found = estimate_of(make_plan(make_job()))
    size = sum(path.stat().st_size for path in paths)
    assert (found.samples, found.samples_basis) == (6, "counted")
    assert (found.invert.images, found.invert.read) == (6, size)
    assert found.edit.images == 12
    assert size < found.edit.read < size + found.invert.written + 1
    assert found.image_basis == "from assumed bytes per pixel"


def test_a_real_run_writes_about_what_was_said(
    tmp_path: Path, make_job: Callable[..., Any], run_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 8)
    job = make_job()
    said = estimate_of(make_plan(job))
    plan, _ = run_job(job)
    assert 0.4 < said.edit.written / data_bytes(plan) < 2.5
    inversions = sum(info.size for info in open_store(plan.output).list("inversions/"))
    assert 0.4 < said.invert.written / inversions < 2.5


def test_what_is_stored_says_what_the_rest_will_take(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 16)
    plan, _ = publish_painted(make_job())
    nothing = estimate_of(plan)
    assert (nothing.invert, nothing.edit) == (Load(), Load())
    before = data_bytes(plan)
    write_shards(tmp_path, 2, 16)
    said = estimate_of(make_plan(make_job()))
    assert (said.samples, said.edit.images, said.image_basis) == (32, 32, "from stored images")
    publish_painted(make_job())
    assert said.edit.written == pytest.approx(data_bytes(plan) - before, rel=0.1)


def test_of_many_shards_some_are_counted(
    tmp_path: Path, make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path, 6, 5)
    monkeypatch.setattr(workload, "MAX_COUNTED", 2)
    found = estimate_of(make_plan(make_job()))
    assert found.samples_basis == "estimated: 2 of 6 shards counted"
    assert found.samples == pytest.approx(30, abs=3)


def test_a_limit_counts(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 3, 5)
    found = estimate_of(make_plan(make_job(), limit_samples=7))
    assert (found.samples, found.invert.images) == (7, 7)


def test_a_bucket_is_not_read_to_count(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 1)
    remote = Shard(uri="s3://nowhere/0.tar", size=50 * SAMPLE_BYTES, etag="etag")
    found = estimate_of(replace(make_plan(make_job()), shards=(remote,)))
    assert (found.samples, found.samples_basis) == (50, "estimated: 100 kB each assumed")


def test_what_is_counted_later_tells_of_the_rest() -> None:
    first, second = (Shard(uri=f"s3://nowhere/{size}.tar", size=size, etag="etag") for size in (3_000, 6_000))
    guessed = SampleCounts((first, second), {})
    assert (guessed.total, guessed.basis) == (2, "estimated: 100 kB each assumed")
    learned = guessed.with_counts({first.id: 30})
    assert (learned.of(first), learned.of(second), learned.total) == (30, 60, 90)
    assert learned.basis == "estimated: 1 of 2 shards counted"
    assert learned.with_counts({second.id: 50}).basis == "counted"


def test_a_limit_is_not_forgotten_when_its_tar_is_counted() -> None:
    cut = Shard(uri="s3://nowhere/0.tar", size=SAMPLE_BYTES, etag="etag", limit=7)
    assert SampleCounts((cut,), {}).total == 1
    learned = SampleCounts((cut,), {cut.id: 400})
    assert (learned.total, learned.basis) == (7, "counted")


def test_money_is_said_only_where_there_is_a_price() -> None:
    assert Price().of(3) == ""
    assert Price(per_actor_hour=1.25, currency="CHF").of(2.5) == "3.12 CHF"
