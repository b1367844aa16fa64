"""Which of the requests for the same samples is in force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from manifests.stores.open import open_store
from tasks.plan.plan import make_plan
from tasks.plan.precedence import RequestPrecedence
from tests.tars import write_shards


def test_of_several_tries_the_newest_that_is_present_is_in_force(
    tmp_path: Path, make_job: Callable[..., Any], run_job: Callable[..., Any]
) -> None:
    """The edit of one shard of two kills its worker, and is tried again."""
    write_shards(tmp_path, 2, 2)
    job = make_job()
    first, _ = run_job(job, deadly={f"edit {make_plan(job).shards[0].uri}"})
    second, _ = run_job(job, retry=("quarantined",))
    old, new = ({each.id for shard in plan.edit_requests() for each in shard} for plan in (first, second))
    rivals = RequestPrecedence.of(open_store(job.output), first)
    assert {rivals.in_force(old)[request] for request in old} == old
    in_force = rivals.in_force(old | new)
    assert in_force.keys() == old | new and set(in_force.values()) == new
    assert len(new - old) == 2 and {in_force[request] for request in old - new} == new - old
    assert rivals.in_force(set()) == {}
