from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from manifests.stores.open import open_store
from tasks.plan.status import Share, edit_statuses, plan_status
from tasks.publish.publish import publish_edits
from tasks.spec.gates import Gates
from tasks.spec.publish_rules import PublishRules
from tests.commits import commit_all, small_plan
from tests.tars import write_shards


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


def test_a_plan_with_a_limit_counts_the_rows_that_replaced_its_own(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 4)
    limited, _ = run_job(make_job(), limit_samples=2)
    assert rows(limited) == [2, 2]
    run_job(make_job())
    assert rows(limited) == [4, 4]


def test_rejected_rows_are_counted_and_are_no_failures(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, rules={"red": PublishRules(gates=Gates(min_direction=0.5, max_area=0.5))})
    store, done = open_store(plan.output), commit_all(plan)
    publish_edits(store, plan, done)
    red, smile = edit_statuses(store, plan)
    assert red.counts["rejected"] == sum(red.gates.values()) and red.gates.keys() == {"min_direction", "max_area"}
    assert (smile.counts, smile.gates) == ({"ok": 36, "failed": 4}, {})
    assert red.bad == smile.bad == 4


def test_requests_published_by_other_rules_are_left_to_do(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    store, done = open_store(plan.output), commit_all(plan)
    publish_edits(store, plan, done)
    assert plan_status(store, plan).published == Share(4, 4)
    stricter = replace(plan, publish={"red": PublishRules(gates=Gates(min_direction=0.5))})
    assert plan_status(store, stricter).published == Share(2, 4)
