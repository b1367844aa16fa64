"""A small part of a run, done for real and thrown away, to see how long the whole will take.

One actor of the job's own kind works in a scratch output below the job's: one sample to warm up, then the first samples
of the first shards through invert and edit, and of each kind of fit a few steps on few samples. What it takes on one
actor is what it takes on each: actors share nothing but the network and, on one machine, its cores.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manifests.commit import read_commit
from manifests.s3_options import S3Options
from manifests.store import Store, open_store
from tasks import waves
from tasks.actors import Resources
from tasks.cluster import places
from tasks.cost import Left
from tasks.forecast import Pace
from tasks.gc import PILOTS
from tasks.member import Work
from tasks.plan import Plan, first_samples
from tasks.pool import Outcome
from tasks.progress import OnProgress, unseen
from tasks.requests import EditRequest, FitRequest, canonical_json
from tasks.run import Run
from tasks.waves import WaveSummary

FEW_STEPS, MORE_STEPS = 2, 10
FEW_BATCHES, MORE_BATCHES = 2, 8
"""Of the short fits whose differences tell what a step, and what a sample of the source, takes."""


Seconds = Mapping[tuple[str, str], float]
"""(wave, key of the work) -> how long the work took."""


class TimedRun(Run):
    """A run that knows how long each work took. With one worker that is the time since the one before ended."""

    def __init__(self, plan: Plan, resources: Resources, on_progress: OnProgress = unseen) -> None:
        super().__init__(plan, resources, on_progress)
        self.seconds: dict[tuple[str, str], float] = {}

    def outcomes(self, wave: str, works: Sequence[Work], samples_of: Callable[[Any], int]) -> Iterator[Outcome]:
        """Those of the run; each is noted when it arrives."""
        before = time.perf_counter()
        for outcome in super().outcomes(wave, works, samples_of):
            now = time.perf_counter()
            self.seconds[wave, outcome.work.key] = now - before
            before = now
            yield outcome


@dataclass(frozen=True)
class ShortFits:
    """The fits that stand for all of one kind, whose prompts alone differ."""

    warm_up: FitRequest
    least: FitRequest
    longer: FitRequest  # more steps
    wider: FitRequest  # more samples in the source

    @classmethod
    def of(cls, fit: FitRequest) -> ShortFits:
        """Short versions of a fit."""
        few, more = (batches * _option(fit, "batch_size") for batches in (FEW_BATCHES, MORE_BATCHES))
        return cls(
            warm_up=_changed(fit, steps=1, source_samples=few),
            least=_changed(fit, steps=FEW_STEPS, source_samples=few),
            longer=_changed(fit, steps=MORE_STEPS, source_samples=few),
            wider=_changed(fit, steps=FEW_STEPS, source_samples=more),
        )

    def whole(self, fit: FitRequest, seconds: Seconds) -> float:
        """Seconds of a fit of this kind with all its steps and samples."""
        least = seconds["fit", self.least.id]
        found = least
        for name, other in (("steps", self.longer), ("source_samples", self.wider)):
            slope = max(0.0, seconds["fit", other.id] - least) / (_option(other, name) - _option(self.least, name))
            found += slope * (_option(fit, name) - _option(self.least, name))
        return max(0.0, found)

    def all(self) -> tuple[FitRequest, ...]:
        """In the order in which they are to be done."""
        return (self.warm_up, self.least, self.longer, self.wider)


@dataclass(frozen=True)
class Pilot:
    """A small plan in place of a large one."""

    plan: Plan  # its first shard warms up
    kinds: Mapping[str, ShortFits]  # kind of fit -> what stands for it

    @classmethod
    def of(cls, plan: Plan, left: Left, samples: int, output: str) -> Pilot:
        """The first samples of a plan, with the edits that are left, in a scratch output."""
        pending = {request.spec.slug for requests in left.edits for request in requests}
        edits = [edit for edit in plan.edits if edit.slug in pending]
        wanted = {fit.id for fit in left.fits} | {edit.fit_id for edit in edits}
        kinds = {_kind(fit): ShortFits.of(fit) for fit in plan.fits if fit.id in wanted}
        stands_for = {fit.id: kinds[_kind(fit)].least.id for fit in plan.fits if fit.id in wanted}
        small = replace(
            plan,
            output=output,
            shards=(replace(plan.shards[0], limit=1), *first_samples(plan.shards, samples)),
            fits=tuple(fit for kind in kinds.values() for fit in kind.all()),
            edits=tuple(replace(edit, fit_id=stands_for.get(edit.fit_id, "")) for edit in edits),
            max_failure_rate=1.0,
        )
        return cls(small, kinds)

    def run(self, resources: Resources, on_progress: OnProgress) -> tuple[Seconds, int]:
        """Do it with one actor: how long each work took, and how many actors the job would have."""
        run = TimedRun(self.plan, replace(resources, actors=1), on_progress)
        with run:
            for wave in (waves.invert, waves.fit, waves.edit):
                _check(wave(run))
            return run.seconds, places(resources)

    def pace(self, store: Store, seconds: Seconds, left: Left) -> Pace:
        """What the works took, per image and per fit that is left."""
        warm_up, *inversions = self.plan.invert_requests()
        samples = sum(_samples(store, request.id) for request in inversions)
        invert = sum(seconds["invert", each.id] for each in inversions) / samples
        edit = sum(seconds.get(("edit", each.id), 0.0) for each in inversions) / samples
        edits = {
            spec.slug: sum(_edit_seconds(store, EditRequest(inversion=each, spec=spec)) for each in inversions)
            / samples
            for spec in self.plan.edits
        }
        return Pace(
            samples=samples,
            start=max(0.0, seconds["invert", warm_up.id] - invert),
            invert=invert,
            fits={fit.id: self.kinds[_kind(fit)].whole(fit, seconds) for fit in left.fits},
            restore=max(0.0, edit - sum(edits.values())),
            edits=edits,
        )


def measure(
    plan: Plan, left: Left, resources: Resources, samples: int, on_progress: OnProgress = unseen
) -> tuple[Pace, int]:
    """The pace of one actor, from a pilot with so many samples (in whole batches), and how many actors there will be.

    Errors: ValueError when something of the pilot fails, or there is no place for an actor.
    """
    batch = plan.invert.batch_size
    with scratch_output(plan.output, plan.s3) as output:
        pilot = Pilot.of(plan, left, max(2, -(-samples // batch) * batch), output)  # one sample is the warm-up's
        seconds, actors = pilot.run(resources, on_progress)
        return pilot.pace(open_store(output, plan.s3), seconds, left), actors


@contextmanager
def scratch_output(output: str, s3: S3Options) -> Iterator[str]:
    """An output below another one, where all actors reach it; nothing is left of it."""
    scratch = f"{output.rstrip('/')}/{PILOTS}{secrets.token_hex(6)}"
    try:
        yield scratch
    finally:
        store = open_store(scratch, s3)
        for info in list(store.list("")):
            store.delete(info.key)
        if "://" not in scratch:
            shutil.rmtree(scratch, ignore_errors=True)
            with suppress(OSError):  # what has something else in it stays
                Path(scratch).parent.rmdir()
                Path(output).rmdir()


def _check(summary: WaveSummary) -> None:
    for failure in summary.failures:
        raise ValueError(f"the pilot did not get through: {failure.work}: {failure.error}")


def _samples(store: Store, request_id: str) -> int:
    record = read_commit(store, request_id)
    assert record is not None, "a wave without failures has committed everything"
    return sum(record.counts.values())


def _edit_seconds(store: Store, request: EditRequest) -> float:
    record = read_commit(store, request.id)
    assert record is not None, "a wave without failures has committed everything"
    return record.seconds.get("edit", 0.0)


def _kind(fit: FitRequest) -> str:
    return canonical_json({"method": fit.method, "options": fit.options})


def _option(fit: FitRequest, name: str) -> int:
    options = fit.options["fit"]
    assert isinstance(options, Mapping), "a plan's options are resolved"
    return int(options[name])


def _changed(fit: FitRequest, **changes: int) -> FitRequest:
    """The fit with some of the numbers of its loop changed."""
    options = fit.options["fit"]
    assert isinstance(options, Mapping), "a plan's options are resolved"
    return replace(fit, options={**fit.options, "fit": {**options, **changes}})
