"""A run in progress: its plan, its store and its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from types import TracebackType
from typing import Any

from manifests.commit import committed
from manifests.stores.open import open_store
from manifests.table_preflight import preflight_output
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
from tasks.spec.job import PUBLISH_EVERY_MINUTES
from tasks.spec.resources import DEFAULT_DEADLINES, Deadlines, Resources
from tasks.worker.pulse import Pulse


class Run:
    """The state that the waves share. The first wave with work starts the workers; they end when the block is left."""

    def __init__(
        self,
        plan: Plan,
        resources: Resources,
        on_progress: OnProgress = ignore,
        deadlines: Deadlines = DEFAULT_DEADLINES,
        limit: TimeLimit = UNLIMITED,
        publish_every_minutes: float = PUBLISH_EVERY_MINUTES,
    ) -> None:
        self.plan, self.resources, self.on_progress, self.deadlines = plan, resources, on_progress, deadlines
        self.limit, self.publish_every_minutes = limit, publish_every_minutes
        self.store = open_store(plan.output, plan.s3)
        self._pool: Pool | None = None
        self._spent = 0.0  # worker seconds of the pool, kept after it has ended
        self._excluded: tuple[str, ...] = ()  # its exclusions, kept after it has ended
        self._stack = ExitStack()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._spent, self._excluded, self._pool = self.actor_hours * 3600, self.excluded, None

    @cached_property
    def done(self) -> set[str]:
        """Ids of the committed requests: those of one listing, and those that this run has committed since."""
        return committed(self.store)

    @property
    def actor_hours(self) -> float:
        """Hours for which actors have been ready, summed over all actors."""
        return (self._spent if self._pool is None else self._pool.worker_seconds) / 3600

    @property
    def excluded(self) -> tuple[str, ...]:
        """Devices and hosts that were excluded from the run because they lost workers, each with the reason."""
        return self._excluded if self._pool is None else self._pool.excluded

    def start(self) -> None:
        """Check the store and, if there is work, that a node has room for a worker; then record the plan.

        Errors: ValueError if the store lacks a guarantee that commits need, or if no node of the cluster has the
        resources that the job asks for; then nothing is recorded.
        """
        preflight_output(self.store)
        if plan_status(self.store, self.plan, done=self.done).left:
            self._workers()
        record_plan(self.store, self.plan)
        record_retries(self.store, self.plan)

    def outcomes(self, wave: str, works: Sequence[Work], samples_of: Callable[[Any], int]) -> Iterator[Outcome]:
        """Run the works in the pool and report progress; samples_of(result) is the number of images of one work.

        Works for which the time limit leaves no time have no outcome.
        """
        if not works or self.limit.used_up:
            return
        finished = samples = failed = 0
        note = "" if self._pool and self._pool.workers else "starting workers"
        self.on_progress(WaveState(wave, len(works), 0, 0, 0, note))

        def report(pulses: Sequence[Pulse]) -> None:
            done = finished + sum(pulse.fraction for pulse in pulses)
            notes = "; ".join(pulse.note for pulse in pulses if pulse.note)
            running = sum(pulse.samples for pulse in pulses)
            self.on_progress(WaveState(wave, len(works), done, samples + running, failed, notes))

        for outcome in self._workers().run(works, report):
            finished += 1
            failed += bool(outcome.error)
            samples += 0 if outcome.error else samples_of(outcome.result)
            report([])
            yield outcome

    def worker_config(self) -> WorkerConfig:
        """The configuration that every worker gets when it starts."""
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
            started_here = connect()
            if started_here:
                self._stack.callback(disconnect)
            start = partial(start_actor, self.worker_config(), self.resources)
            workers = RayWorkers(start, partial(max_actors, self.resources, can_grow=not started_here))
            self._pool = self._stack.enter_context(Pool(workers, self.deadlines, self.limit))
        return self._pool
