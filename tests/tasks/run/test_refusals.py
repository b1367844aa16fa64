"""A shard with too many failed samples is reported by every run and computed by one, until something changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.stores.open import open_store
from tasks.estimate.workload import pending_work
from tasks.plan.status import plan_status
from tasks.shards.refusals import Refusal, read_refusals, record_refusal
from tasks.spec import requests as requests_module
from tests.tars import members_of, write_tar

BROKEN = [(f"broken{number}.png", b"no image") for number in range(3)]
WORDS = "not committed by an earlier run: 3 of 5 samples failed, more than max_failure_rate 0.4"


@pytest.fixture
def job(tmp_path: Path, make_job: Callable[..., Any]) -> Any:
    """One shard of five samples, three of which are no images."""
    write_tar(tmp_path / "in-0.tar", [*members_of(0), *BROKEN, *members_of(1)])
    job = make_job(max_failure_rate=0.4)
    return replace(job, edits=job.edits[:1])


def failures_of(summaries: Any) -> list[str]:
    return [failure.error for summary in summaries for failure in summary.failures]


def test_a_refused_shard_is_reported_by_every_run_and_computed_by_one(job: Any, run_job: Callable[..., Any]) -> None:
    _, summaries = run_job(job)
    assert failures_of(summaries)[0].startswith("not committed: 3 of 5 samples failed")
    plan, summaries = run_job(job)
    assert [summary.samples for summary in summaries] == [0, 0, 0]
    assert failures_of(summaries)[0].startswith(WORDS) and "--retry failed" in failures_of(summaries)[0]
    store = open_store(plan.output)
    status = plan_status(store, plan)
    assert (status.inverted.done, status.inverted.refused) == (0, 1)
    assert not pending_work(store, plan).inversions


def test_it_is_tried_again_under_a_limit_that_it_would_meet(job: Any, run_job: Callable[..., Any]) -> None:
    run_job(job)
    _, summaries = run_job(replace(job, max_failure_rate=0.5))
    assert summaries[0].done == 0
    _, summaries = run_job(replace(job, max_failure_rate=0.6))
    assert summaries[0].counts == {"ok": 2, "undecodable": 3} and not failures_of(summaries)


@pytest.mark.parametrize("change", ["input", "version", "retry"])
def test_it_is_tried_again_after_a_change(
    change: str, job: Any, run_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(job)
    if change == "input":
        write_tar(tmp_path / "in-0.tar", [*members_of(0), *BROKEN, *members_of(2)])
    if change == "version":
        monkeypatch.setattr(requests_module, "INVERT_VERSION", 10**6)
    _, summaries = run_job(job, retry=("failed",) if change == "retry" else ())
    assert failures_of(summaries)[0].startswith("not committed: 3 of 5 samples failed")


def test_an_edit_is_refused_independently_of_its_inversion(
    job: Any, make_job: Callable[..., Any], run_job: Callable[..., Any]
) -> None:
    """Its inversion was committed under a higher limit, for another edit."""
    run_job(replace(job, max_failure_rate=1.0, edits=make_job().edits[1:]))
    _, summaries = run_job(job)
    assert failures_of(summaries)[0].startswith("not committed: 3 of 5")
    _, summaries = run_job(job)
    assert failures_of(summaries)[0].startswith(WORDS)
    _, summaries = run_job(job, retry=("failed",))
    assert failures_of(summaries)[0].startswith("not committed: 3 of 5")


def test_the_counts_decide(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record_refusal(store, Refusal("ab12", 3, 10), "because")
    assert read_refusals(store, 0.29) == {"ab12": Refusal("ab12", 3, 10)}
    assert read_refusals(store, 0.3) == {}
