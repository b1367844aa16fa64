from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from manifests.stores.open import open_store
from tasks.plan.plan import make_plan, read_plans
from tasks.run.run import Run
from tasks.spec.resources import Resources
from tests.tars import write_shards

TOO_MUCH = Resources(num_gpus=64)


def test_missing_resources_are_refused_before_the_plan_is_recorded(
    tmp_path: Path, make_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 2)
    plan = make_plan(make_job())
    with Run(plan, TOO_MUCH) as run, pytest.raises(ValueError, match=r"'GPU': 64.*ask for less in the job"):
        run.start()
    assert not ray.is_initialized()
    assert list(open_store(plan.output).list("")) == []


def test_a_finished_job_needs_no_cluster(
    tmp_path: Path, make_job: Callable[..., Any], run_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 2)
    run_job(make_job())
    plan = make_plan(make_job())
    with Run(plan, TOO_MUCH) as run:
        run.start()
        assert not ray.is_initialized()
    assert next(read_plans(open_store(plan.output))).run_id == plan.run_id
