"""Retries of quarantined shards. One worker, in this process; the tests say which works kill it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.query import query
from manifests.stores.open import open_store
from manifests.table import history, open_manifest
from tasks.plan.plan import make_plan
from tasks.plan.retry_log import read_retries
from tasks.plan.status import edit_statuses
from tests.tars import write_shards

SHARD = "in-000.tar"


@pytest.fixture
def job(tmp_path: Path, make_job: Callable[..., Any]) -> Any:
    write_shards(tmp_path, 2, 2)
    return make_job()


def work(kind: str, job: Any) -> str:
    return next(f"{kind} {shard.uri}" for shard in make_plan(job).shards if shard.uri.endswith(SHARD))


def rows(job: Any) -> list[dict[str, Any]]:
    """The manifest, without what names the request and its objects."""
    sql = "SELECT * EXCLUDE (image_uri, request_id) FROM manifest ORDER BY edit, source_uri, key"
    return query(open_store(job.output), sql).to_pylist()


def counts(job: Any) -> Counter[str]:
    return Counter(row["status"] for row in rows(job))


@pytest.mark.parametrize("kind", ["invert", "edit"])
def test_rows_of_a_retry_replace_the_failed_ones(
    kind: str, job: Any, tmp_path: Path, make_job: Callable[..., Any], run_job: Callable[..., Any]
) -> None:
    run_job(job, deadly={work(kind, job)})
    assert counts(job) == {"ok": 4, "quarantined": 4}
    plan, summaries = run_job(job, retry=("quarantined",))
    assert [summary.done for summary in summaries] == [int(kind == "invert"), 0, 2]
    undisturbed = make_job(output=str(tmp_path / "undisturbed"))
    run_job(undisturbed)
    assert rows(job) == rows(undisturbed)
    assert [edit.counts for edit in edit_statuses(open_store(job.output), plan)] == [{"ok": 4}, {"ok": 4}]
    assert history(open_store(job.output))[0]["requests"]["removed"] == 2


def test_later_runs_use_the_newest_retry(job: Any, run_job: Callable[..., Any]) -> None:
    run_job(job, deadly={work("invert", job)})
    run_job(job, retry=("quarantined",))
    before = open_manifest(open_store(job.output))
    _, summaries = run_job(job)
    assert [summary.done for summary in summaries] == [0, 0, 0]
    assert open_manifest(open_store(job.output)) == before
    run_job(job, retry=("quarantined", "failed"))  # nothing is left that has these statuses
    assert open_manifest(open_store(job.output)) == before


def test_old_rows_stay_if_the_retry_fails(job: Any, run_job: Callable[..., Any]) -> None:
    """The second try kills its workers too."""
    run_job(job, deadly={work("edit", job)})
    run_job(job, deadly={work("edit", job)}, retry=("quarantined",))
    assert counts(job) == {"ok": 4, "quarantined": 4}
    plan, _ = run_job(job, retry=("quarantined",))
    assert set(plan.retries.values()) == {2}
    assert counts(job) == {"ok": 8}
    assert read_retries(open_store(job.output)) == plan.retries


def test_a_retried_run_with_a_limit_is_replaced_by_the_whole(job: Any, run_job: Callable[..., Any]) -> None:
    run_job(job, deadly={work("edit", job)}, limit_samples=1)
    run_job(job, retry=("quarantined",), limit_samples=1)
    assert counts(job) == {"ok": 2}
    plan, _ = run_job(job)
    assert counts(job) == {"ok": 8}
    assert [edit.counts for edit in edit_statuses(open_store(job.output), plan)] == [{"ok": 4}, {"ok": 4}]
