"""The waves as Prefect tasks: one task per wave, results in memory only, nothing cached and nothing retried by Prefect.

The store's commits are the record of what is done. To retry, run the flow again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from manifests.stores.open import open_store
from tasks.plan.plan import Plan, make_plan
from tasks.plan.retry import Retryable, with_retries
from tasks.publish.publish import Publication, publish_edits
from tasks.run import waves
from tasks.run.publishing import RegularPublishing
from tasks.run.run import Run
from tasks.run.waves import WaveSummary
from tasks.spec.job import JobSpec

log = logging.getLogger("coral.plan")
QUIET: dict[str, Any] = {"persist_result": False, "cache_policy": NO_CACHE, "retries": 0}


@task(name="plan", **QUIET)
def plan_run(job: JobSpec, limit_samples: int | None, retry: Sequence[Retryable]) -> Plan:
    """Resolve the job; requests with rows of the statuses in `retry` are tried again."""
    plan = make_plan(job, limit_samples)
    for line in plan.passed_over:
        log.warning(line)
    return with_retries(open_store(plan.output, plan.s3), plan, retry)


@task(name="start", **QUIET)
def start(run: Run) -> None:
    """Check the store and, if there is work, the cluster; then record the plan."""
    run.start()


@task(name="invert", **QUIET)
def invert_wave(run: Run) -> WaveSummary:
    """Compute latents for every shard."""
    return waves.invert(run)


@task(name="fit", **QUIET)
def fit_wave(run: Run) -> WaveSummary:
    """Fit an artifact for every edit that needs one."""
    return waves.fit(run)


@task(name="edit", **QUIET)
def edit_wave(run: Run) -> WaveSummary:
    """Apply every edit to every shard, and publish what is committed from time to time."""
    with RegularPublishing(run, run.publish_every_minutes) as publishing:
        return waves.edit(run, publishing.remind)


@task(name="publish", **QUIET)
def publish(run: Run) -> Publication:
    """Publish everything that is committed in the manifest."""
    return publish_edits(run.store, run.plan, frozenset(run.done))
