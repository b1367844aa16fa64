"""After the time limit no new work begins, nothing is lost, and the same command continues later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.commit import committed
from manifests.query import query
from manifests.stores.open import open_store
from tasks.cluster.actor import Worker
from tasks.cluster.backlog import Outcome
from tasks.cluster.pool import Pool
from tasks.cluster.pooled_worker import Work
from tasks.cluster.time_limit import UNLIMITED, TimeLimit
from tasks.cluster.workers import Device
from tasks.plan.plan import make_plan, record_plan
from tasks.publish.publish import publish_edits
from tasks.run import waves
from tasks.run.run import Run
from tasks.spec.resources import DEFAULT_DEADLINES, Resources
from tests.simulated import DONE, SimulatedWorkers, Takes
from tests.tars import write_shards


@dataclass
class Clock:
    """Time that passes when a test says so."""

    hours: float = 0.0

    def __call__(self) -> float:
        return self.hours * 3600


def test_time_is_used_up_and_a_tenth_later_over() -> None:
    clock = Clock(hours=7)
    limit = TimeLimit.from_now(2, clock)
    states = []
    for clock.hours in (7, 8.99, 9.01, 9.19, 9.21):
        states.append((limit.used_up, limit.over))
    assert states == [(False, False), (False, False), (True, False), (True, False), (True, True)]
    assert not TimeLimit.from_now(None).used_up and not UNLIMITED.over


class HourlyRun(Run):
    """Every work takes an hour of the clock, in this process."""

    clock: Clock

    def outcomes(self, wave: str, works: Sequence[Work], samples_of: Callable[[Any], int]) -> Iterator[Outcome]:
        worker = Worker(self.worker_config())
        for work in works:
            if self.limit.used_up:
                return
            self.clock.hours += 1
            yield Outcome(work, getattr(worker, work.method)(*work.arguments))


def run_for(job: Any, hours: float) -> list[waves.WaveSummary]:
    plan, clock = make_plan(job), Clock()
    with HourlyRun(plan, Resources(), limit=TimeLimit.from_now(hours, clock)) as run:
        run.clock = clock
        record_plan(run.store, plan)
        summaries = [waves.invert(run), waves.fit(run), waves.edit(run)]
        publish_edits(run.store, plan, frozenset(committed(run.store)))
    return summaries


def test_a_run_stopped_by_its_hours_is_gone_on_with_until_all_is_there(
    tmp_path: Path, make_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 3, 2)
    job = make_job()
    seen = []
    for _ in range(4):
        summaries = run_for(job, hours=2)
        assert not any(summary.failures for summary in summaries)
        rows = query(open_store(job.output), "SELECT count(*) AS rows FROM manifest").to_pylist()[0]["rows"]
        seen.append(([summary.left for summary in summaries], rows))
    assert seen == [([1, 2, 3], 0), ([0, 1, 3], 0), ([0, 0, 2], 4), ([0, 0, 0], 12)]


def run_pool(hours: float, *seconds: float) -> tuple[list[str], list[str], Pool, SimulatedWorkers]:
    """Two simulated workers with a limit of one hour; `hours` have passed as soon as one of them has work.

    The names of the works under way then, of those that came out, the pool, and the workers.
    """
    clock, device = Clock(), Device("alpha", "a")
    cluster = SimulatedWorkers([device, device], lambda device, method, given: Takes(given[0]) if given else DONE)
    works = [Work(f"{number}", f"{number}", "sleep", (each,)) for number, each in enumerate(seconds)]
    under_way: list[str] = []

    def watch(pulses: list[Any]) -> None:
        if clock.hours == 0:
            under_way[:] = [worker.work.name for worker in pool.workers if worker.work]
            clock.hours = hours if under_way else 0.0

    with Pool(cluster, DEFAULT_DEADLINES, TimeLimit.from_now(1, clock), cluster.clock) as pool:
        return under_way, [outcome.work.name for outcome in pool.run(works, watch)], pool, cluster


def test_work_under_way_is_finished_and_no_other_begins() -> None:
    under_way, done, pool, _ = run_pool(1.05, *[2.0] * 6)
    assert sorted(done) == under_way == ["0", "1"]
    assert pool.worker_seconds >= 4.0


def test_work_that_takes_too_long_is_stopped() -> None:
    under_way, done, pool, cluster = run_pool(1.2, *[3000.0] * 3)
    assert under_way and (done, pool.workers, cluster.processes) == ([], [], [])
    assert cluster.now < 10 and pool.worker_seconds < 20
