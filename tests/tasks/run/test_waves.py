"""Shards that kill their workers, in the waves. One worker, in this process; the tests say which works kill it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from manifests.commit import committed
from manifests.query import query
from manifests.stores.open import open_store
from tasks.cluster.backlog import Outcome
from tasks.cluster.pooled_worker import Work
from tasks.plan.plan import make_plan
from tasks.run import waves
from tasks.run.run import Run
from tasks.spec.resources import Deadlines, Resources
from tests.tars import members_of, write_shards, write_tar

BROKEN = ("broken.png", b"no image")
SHARD, OTHER = "in-000.tar", "in-001.tar"


@pytest.fixture
def job(tmp_path: Path, make_job: Callable[..., Any]) -> Any:
    """Two shards of three samples, the first with one that is no image; and a low tolerance for failures."""
    write_shards(tmp_path, 2, 3)
    write_tar(tmp_path / SHARD, [*members_of(0), BROKEN, *members_of(1)])
    return make_job(max_failure_rate=0.4)


def uri_of(job: Any, name: str) -> str:
    return next(shard.uri for shard in make_plan(job).shards if shard.uri.endswith(name))


def statuses(job: Any, name: str) -> list[tuple[str, str, str]]:
    sql = f"SELECT key, status, reason FROM manifest WHERE source_uri LIKE '%{name}' ORDER BY edit, key"
    return [tuple(row.values()) for row in query(open_store(job.output), sql).to_pylist()]


@pytest.mark.parametrize("work", ["invert", "edit"])
def test_a_shard_that_kills_its_workers_becomes_quarantined_rows(
    work: str, job: Any, run_job: Callable[..., Any]
) -> None:
    name = f"{work} {uri_of(job, SHARD)}"
    _, summaries = run_job(job, deadly={name})
    assert [failure.work for summary in summaries for failure in summary.failures] == [name]
    given_up = "given up after 3 attempts: it died"
    of_one_edit = statuses(job, SHARD)[:3]
    assert statuses(job, SHARD) == 2 * of_one_edit
    assert [row for row in of_one_edit if row[0] != "broken"] == [
        ("0000", "quarantined", given_up),
        ("0001", "quarantined", given_up),
    ]
    assert [row[1] for row in statuses(job, OTHER)] == 6 * ["ok"]


@pytest.mark.parametrize("work", ["invert", "edit"])
def test_the_next_run_does_not_try_it_again(work: str, job: Any, run_job: Callable[..., Any]) -> None:
    plan, _ = run_job(job, deadly={f"{work} {uri_of(job, SHARD)}"})
    store = open_store(job.output)
    before = committed(store)
    _, summaries = run_job(job)
    assert [summary.done for summary in summaries] == [0, 0, 0]
    assert committed(store) == before
    assert len(before) == len(plan.shards) * (1 + len(plan.edits))


def test_a_quarantined_sample_keeps_its_own_problem_and_its_labels(job: Any, run_job: Callable[..., Any]) -> None:
    run_job(job, deadly={f"edit {uri_of(job, SHARD)}"})
    assert [row[1] for row in statuses(job, SHARD) if row[0] == "broken"] == 2 * ["undecodable"]
    sql = "SELECT DISTINCT metadata->>'$.label' AS label FROM manifest WHERE status = 'quarantined' ORDER BY label"
    assert [row["label"] for row in query(open_store(job.output), sql).to_pylist()] == ["0", "1"]


def test_an_edit_added_later_is_quarantined_with_the_inversion(
    job: Any, make_job: Callable[..., Any], run_job: Callable[..., Any]
) -> None:
    one = make_job(max_failure_rate=0.4, edits=job.edits[:1])
    run_job(one, deadly={f"invert {uri_of(job, SHARD)}"})
    run_job(job)
    assert [row[1] for row in statuses(job, SHARD)] == 6 * ["quarantined"]  # nobody looked whether it is an image
    assert [row[1] for row in statuses(job, OTHER)] == 6 * ["ok"]


def test_quarantining_has_the_deadline_of_the_shard(job: Any) -> None:
    given: list[Work] = []

    class DeadlyRun(Run):
        def outcomes(self, wave: str, works: Sequence[Work], samples_of: Callable[[Any], int]) -> Iterator[Outcome]:
            given.extend(works)
            return (Outcome(work, error="it died", deadly=wave == "invert") for work in works)

    with DeadlyRun(make_plan(job), Resources(), deadlines=Deadlines(shard_minutes=7.0)) as run:
        assert len(waves.invert(run).failures) == 4
    assert [work.method for work in given] == 2 * ["invert"] + 2 * ["quarantine_inversion"]
    assert {work.minutes for work in given} == {7.0}
