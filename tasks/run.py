"""One run under way: its plan, its store and its workers, and what each wave has done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

from manifests.store import open_store
from tasks.actors import Resources, WorkerConfig, hire, places
from tasks.plan import Plan
from tasks.pool import Outcome, Pool, Work, connect, disconnect
from tasks.progress import OnProgress, WaveState, unseen
from tasks.work import Pulse


class Run:
    """What the waves share. Workers are started by the first wave that has work, and kept until the run is left."""

    def __init__(self, plan: Plan, resources: Resources, on_progress: OnProgress = unseen) -> None:
        self.plan, self.resources, self.on_progress = plan, resources, on_progress
        self.store = open_store(plan.output)
        self._pool: Pool | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._pool = None

    def outcomes(self, wave: str, works: Sequence[Work], samples_of: Callable[[Any], int]) -> Iterator[Outcome]:
        """Have the works done by the pool, showing how far they are; samples_of(result) is the images of one work."""
        if not works:
            return
        finished = samples = failed = 0
        self.on_progress(WaveState(wave, len(works), 0, 0, 0, "" if self._pool else "starting workers"))

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
            bundle=self.plan.bundle,
            digests=self.plan.digests,
            device=self.resources.device,
            threads=self.resources.threads,
            max_failure_rate=self.plan.max_failure_rate,
        )

    def _workers(self) -> Pool:
        if self._pool is None:
            if connect():
                self._stack.callback(disconnect)
            pool = Pool(partial(hire, self.worker_config(), self.resources), places(self.resources))
            self._pool = self._stack.enter_context(pool)
        return self._pool
