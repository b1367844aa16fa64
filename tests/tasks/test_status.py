from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tars import write_shards

from manifests.store import open_store
from tasks.status import edit_statuses


def rows(plan: Any) -> list[int]:
    return [sum(each.counts.values()) for each in edit_statuses(open_store(plan.output), plan)]


def test_rows_of_other_plans_in_the_same_output_do_not_count(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 2, 3)
    first, second = sorted(str(path) for path in tmp_path.glob("in-*.tar"))
    last_week, _ = run_job(make_job(inputs=(first, second)))
    tonight, _ = run_job(make_job(inputs=(second,)))
    assert (rows(last_week), rows(tonight)) == ([6, 6], [3, 3])


def test_a_limited_plan_counts_what_took_its_place(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 4)
    limited, _ = run_job(make_job(), limit_samples=2)
    assert rows(limited) == [2, 2]
    run_job(make_job())
    assert rows(limited) == [4, 4]
