"""One run under way: its plan, its store and its workers, and what each wave has done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

from manifests.stores.open import open_store
from manifests.stores.preflight import preflight
from tasks.cluster.actor import WorkerConfig, start_actor
from tasks.cluster.backlog import Outcome
from tasks.cluster.capacity import max_actors
from tasks.cluster.connection import connect, disconnect
from tasks.cluster.pool import Pool
from tasks.cluster.pooled_worker import Work
from tasks.cluster.ray_workers import RayWorkers
from tasks.cluster.time_limit import UNLIMITED, TimeLimit
from tasks.plan.plan import Plan, record_plan
from tasks.plan.retry import record_retries
from tasks.plan.status import plan_status
from tasks.run.progress import OnProgress, WaveState
from tasks.spec.callbacks import ignore
from tasks.spec.resources import DEFAULT_DEADLINES, Deadlines, Resources
from tasks.worker.pulse import Pulse


class Run:
    """What the waves share. Workers are started by the first wave that has work, and kept until the run is left."""

    def __init__(
        self,
        plan: Plan,
        resources: Resources,
        on_progress: OnProgress = ignore,
        deadlines: Deadlines = DEFAULT_DEADLINES,
        limit: TimeLimit = UNLIMITED,
    ) -> None:
        self.plan, self.resources, self.on_progress, self.deadlines = plan, resources, on_progress, deadlines
        self.limit = limit
        self.store = open_store(plan.output, plan.s3)
        self._pool: Pool | None = None
        self._spent = 0.0  # worker seconds of the pool that was left
        self._excluded: tuple[str, ...] = ()  # the same of its exclusions
        self._stack = ExitStack()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._spent, self._excluded, self._pool = self.actor_hours * 3600, self.excluded, None

    @property
    def actor_hours(self) -> float:
        """How long actors have been ready, in all."""
        return (self._spent if self._pool is None else self._pool.worker_seconds) / 3600

    @property
    def excluded(self) -> tuple[str, ...]:
        """Devices and hosts that were taken out of the run because they lost workers, each with the reason."""
        return self._excluded if self._pool is None else self._pool.excluded

    def start(self) -> None:
        """Record the plan, once it is known that the store is fit, and that there is room for a worker or need of none.

        Errors: ValueError when the store breaks a promise, or no node of the cluster has what the job asks for; nothing
        is written then.
        """
        preflight(self.store)
        if plan_status(self.store, self.plan).left:
            self._workers()
        record_plan(self.store, self.plan)
        record_retries(self.store, self.plan)

    def outcomes(self, wave: str, works: Sequence[Work], samples_of: Callable[[Any], int]) -> Iterator[Outcome]:
        """Have the works done by the pool, showing how far they are; samples_of(result) is the images of one work.

        Works that the time limit leaves no time for have no outcome.
        """
        if not works or self.limit.used_up:
            return
        finished = samples = failed = 0
        waiting = "" if self._pool and self._pool.workers else "starting workers"
        self.on_progress(WaveState(wave, len(works), 0, 0, 0, waiting))

        def watch(pulses: Sequence[Pulse]) -> None:
            done = finished + sum(pulse.fraction for pulse in pulses)
            notes = "; ".join(pulse.note for pulse in pulses if pulse.note)
            running = sum(pulse.samples for pulse in pulses)
            self.on_progress(WaveState(wave, len(works), done, samples + running, failed, notes))

        for outcome in self._workers().run(works, watch):
            finished += 1
            failed += bool(outcome.error)
            samples += 0 if outcome.error else samples_of(outcome.result)
            watch([])
            yield outcome

    def worker_config(self) -> WorkerConfig:
        """What every worker is told once."""
        return WorkerConfig(
            output=self.plan.output,
            s3=self.plan.s3,
            bundle=self.plan.bundle,
            digests=self.plan.digests,
            device=self.resources.device,
            threads=self.resources.threads,
            max_failure_rate=self.plan.max_failure_rate,
        )

    def _workers(self) -> Pool:
        if self._pool is None:
            ours = connect()
            if ours:
                self._stack.callback(disconnect)
            start = partial(start_actor, self.worker_config(), self.resources)
            workers = RayWorkers(start, partial(max_actors, self.resources, can_grow=not ours))
            self._pool = self._stack.enter_context(Pool(workers, self.deadlines, self.limit))
        return self._pool
