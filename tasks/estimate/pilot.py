"""A small part of a run, really executed and then deleted, from which the time of the whole run is forecast.

One actor with the job's own resources works in a scratch output below the job's output: one sample to warm up, then
parts of one shard through invert and edit, and a few steps on few samples for each kind of fit. From the differences
between these works follow the seconds per image, per shard, per byte and per step. One actor is enough: actors share
nothing but the network and, on one machine, its cores.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from manifests.commit import read_commit
from manifests.stores.open import open_store
from manifests.stores.s3_options import S3Options
from manifests.stores.store import Store
from tasks.cluster.backlog import Outcome
from tasks.cluster.capacity import max_actors
from tasks.cluster.pooled_worker import Work
from tasks.estimate.forecast import ActorTimes
from tasks.estimate.pilot_fits import PilotFits, WorkSeconds, kind_of
from tasks.estimate.pilot_shards import PilotShards
from tasks.estimate.workload import PendingWork
from tasks.inputs.find import find_shards
from tasks.plan.plan import Plan
from tasks.publish.gc import PILOTS
from tasks.run import waves
from tasks.run.progress import OnProgress
from tasks.run.run import Run
from tasks.run.waves import WaveSummary
from tasks.spec.callbacks import ignore
from tasks.spec.requests import EditRequest, InvertRequest, Shard
from tasks.spec.resources import Resources

EXCERPT = "excerpt.tar"
"""Key of the excerpt in the scratch output."""


class TimedRun(Run):
    """A run that measures each of its works. With one actor, a work begins when the work before it ends."""

    def __init__(self, plan: Plan, resources: Resources, on_progress: OnProgress = ignore) -> None:
        super().__init__(plan, resources, on_progress)
        self.seconds: dict[tuple[str, str], float] = {}

    def outcomes(self, wave: str, works: Sequence[Work], samples_of: Callable[[Any], int]) -> Iterator[Outcome]:
        """The outcomes of the run; the seconds of each are recorded when it arrives."""
        before = time.perf_counter()
        for outcome in super().outcomes(wave, works, samples_of):
            now = time.perf_counter()
            self.seconds[wave, outcome.work.key] = now - before
            before = now
            yield outcome


@dataclass(frozen=True)
class Pilot:
    """A small plan that represents a large one."""

    plan: Plan  # its first shard is the warm-up
    shards: PilotShards
    fits: Mapping[str, PilotFits]  # kind of fit -> the fits that represent it

    @classmethod
    def of(cls, plan: Plan, pending: PendingWork, shards: PilotShards, output: str) -> Pilot:
        """The plan with the pending edits, but with the pilot's shards and fits, and with a scratch output."""
        slugs = {request.spec.slug for requests in pending.edits for request in requests}
        edits = [edit for edit in plan.edits if edit.slug in slugs]
        wanted = {fit.id for fit in pending.fits} | {edit.fit_id for edit in edits}
        for fit in reversed(plan.fits):  # a base comes before the fits that need it
            wanted |= {fit.base} if fit.id in wanted else set()
        fits, pilot_id = dict[str, PilotFits](), {"": ""}
        for fit in plan.fits:  # a base comes before the fits that need it
            if fit.id in wanted:
                own = fits.setdefault(kind_of(fit), PilotFits.of(replace(fit, base=pilot_id[fit.base])))
                pilot_id[fit.id] = own.baseline.id
        small = replace(
            plan,
            output=output,
            shards=shards.all(),
            fits=tuple({fit.id: fit for kind in fits.values() for fit in kind.all()}.values()),
            edits=tuple(replace(edit, fit_id=pilot_id.get(edit.fit_id, "")) for edit in edits),
            max_failure_rate=1.0,
            retries={},
        )
        return cls(small, shards, fits)

    def run(self, resources: Resources, on_progress: OnProgress) -> tuple[WorkSeconds, int]:
        """Execute it with one actor. Returns the seconds of each work, and the number of actors the job would have."""
        run = TimedRun(self.plan, replace(resources, actors=1), on_progress)
        with run:
            for wave in (waves.invert, waves.fit, waves.edit):
                _check(wave(run))
            return run.seconds, max_actors(resources)

    def times(self, store: Store, seconds: WorkSeconds, pending: PendingWork) -> ActorTimes:
        """From the measured seconds of the works: those per image, per shard, per byte, and per pending fit."""
        shards, samples = self.shards, self.shards.more_samples
        inversion = InvertRequest(shard=shards.more_images, spec=self.plan.invert)
        requests = {spec.slug: EditRequest(inversion=inversion, spec=spec) for spec in self.plan.edits}
        edits = {slug: _phase_seconds(store, request.id, "edit") / samples for slug, request in requests.items()}
        inverted, edited = (self._by_shard(wave, seconds) for wave in ("invert", "edit"))
        edit = shards.times(edited, sum(edits.values()))
        first, second, *_ = shards.all()
        return ActorTimes(
            samples=samples,
            size=shards.whole_tar.size,
            start=max(0.0, inverted[first.id] - inverted[second.id]),
            invert=shards.times(inverted, _phase_seconds(store, inversion.id, "invert") / samples),
            fits={fit.id: self.fits[kind_of(fit)].whole(fit, seconds) for fit in pending.fits},
            restore=replace(edit, per_image=edit.per_image - sum(edits.values())),
            edits=edits,
        )

    def _by_shard(self, wave: str, seconds: WorkSeconds) -> dict[str, float]:
        """The seconds of a wave's works by shard id; 0 where the wave had nothing to do."""
        return {each.shard.id: seconds.get((wave, each.id), 0.0) for each in self.plan.invert_requests()}


@dataclass(frozen=True)
class Measurement:
    """The result of a pilot."""

    times: ActorTimes  # of one actor
    actors: int  # that the job would have
    counted: Mapping[str, int]  # shard id -> samples, of the shard that was read


def measure(
    plan: Plan, pending: PendingWork, resources: Resources, samples: int, on_progress: OnProgress = ignore
) -> Measurement:
    """Run a pilot on the shard of median size, with one batch and at least `samples` samples more.

    Errors: ValueError when a work of the pilot fails, or when no node has the resources of an actor.
    """
    shard = sorted(plan.shards, key=lambda each: each.size)[len(plan.shards) // 2]
    with scratch_output(plan.output, plan.s3) as output:
        shards = PilotShards.of(shard, plan.invert.batch_size, samples, partial(_put, output, plan.s3))
        pilot = Pilot.of(plan, pending, shards, output)
        seconds, actors = pilot.run(resources, on_progress)
        times = pilot.times(open_store(output, plan.s3), seconds, pending)
    return Measurement(times, actors, {shard.id: shards.total_samples})


@contextmanager
def scratch_output(output: str, s3: S3Options) -> Iterator[str]:
    """An output below another one, where all actors can reach it; it is deleted at the end."""
    scratch = f"{output.rstrip('/')}/{PILOTS}{secrets.token_hex(6)}"
    try:
        yield scratch
    finally:
        store = open_store(scratch, s3)
        for info in list(store.list("")):
            store.delete(info.key)
        if "://" not in scratch:
            shutil.rmtree(scratch, ignore_errors=True)
            with suppress(OSError):  # a folder that is not empty stays
                Path(scratch).parent.rmdir()
                Path(output).rmdir()


def _check(summary: WaveSummary) -> None:
    for failure in summary.failures:
        raise ValueError(f"the pilot failed: {failure.work}: {failure.error}")


def _put(output: str, s3: S3Options, path: Path) -> Shard:
    """Store a local tar as a shard in the scratch output."""
    open_store(output, s3).put_file(EXCERPT, path)
    address = f"{output}/{EXCERPT}" if "://" in output else Path(output, EXCERPT).as_uri()
    (shard,) = find_shards([address], {}, s3)
    return shard


def _phase_seconds(store: Store, request_id: str, phase: str) -> float:
    """Seconds that a committed work spent in a phase, without reading and writing, which run at the same time."""
    record = read_commit(store, request_id)
    assert record is not None, "a wave without failures has committed everything"
    return record.seconds.get(phase, 0.0)
