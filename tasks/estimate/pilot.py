"""A small part of a run, done for real and thrown away, to see how long the whole will take.

One actor of the job's own kind works in a scratch output below the job's: one sample to warm up, then parts of one
shard through invert and edit, and of each kind of fit a few steps on few samples. Their differences tell what an image,
a shard and a step take. What it takes on one actor is what it takes on each: actors share nothing but the network and,
on one machine, its cores.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
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
from tasks.estimate.forecast import Pace, ShardPace
from tasks.estimate.short_fits import Seconds, ShortFits, kind_of
from tasks.estimate.workload import Left
from tasks.inputs.archive import BLOCK, END_OF_ARCHIVE, count_samples, read_archive
from tasks.inputs.find import find_shards
from tasks.inputs.local_copy import local_copy
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
CHUNK = 2**20


class TimedRun(Run):
    """A run that knows how long each work took. With one worker that is the time since the one before ended."""

    def __init__(self, plan: Plan, resources: Resources, on_progress: OnProgress = ignore) -> None:
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


@dataclass(frozen=True, kw_only=True)
class ShortShards:
    """Parts of one shard, which stand for all shards.

    Its excerpt is a tar of its own: works on that differ in nothing but their images, however large the shard is. The
    same few images of the whole tar tell what fetching it and reading its headers takes.

    A shard of fewer samples than two batches has nothing shorter than itself: `few` is 0, the whole is timed once, and
    what it takes is all put down to its images.
    """

    warm_up: Shard
    least: Shard  # few samples of the excerpt
    longer: Shard  # more of them
    larger: Shard  # few of the whole tar
    few: int
    more: int
    samples: int  # of the whole shard

    @classmethod
    def of(cls, shard: Shard, batch: int, samples: int, put: Callable[[Path], Shard]) -> ShortShards:
        """One batch of a shard, and `samples` more in whole batches; put(path) makes a tar a shard for all actors."""
        whole = replace(shard, limit=None)
        with local_copy(whole) as path:
            count = count_samples(path)
            few, more = _few_and_more(count, batch, samples)
            excerpt = _excerpt(path, more, put) if few else whole
        return cls(
            warm_up=replace(excerpt, limit=1),
            least=replace(excerpt, limit=few),
            longer=replace(excerpt, limit=max(2, more)),  # one sample is the warm-up's
            larger=replace(whole, limit=few),
            few=few,
            more=more,
            samples=count,
        )

    def all(self) -> tuple[Shard, ...]:
        """In the order in which they are to be done."""
        return (self.warm_up, *((self.least, self.longer, self.larger) if self.few else (self.longer,)))

    def pace(self, seconds: Mapping[str, float], computing: float) -> ShardPace:
        """From the seconds by shard id. An image takes as long as its `computing` at least, whatever the noise."""
        least, longer, larger = (seconds.get(each.id, 0.0) for each in (self.least, self.longer, self.larger))
        image = max(computing, (longer - least) / (self.more - self.few))
        return ShardPace(
            image=image,
            shard=max(0.0, least - image * self.few),
            byte=max(0.0, larger - least) / max(1, self.larger.size),
        )


@dataclass(frozen=True)
class Pilot:
    """A small plan in place of a large one."""

    plan: Plan  # its first shard warms up
    shards: ShortShards
    kinds: Mapping[str, ShortFits]  # kind of fit -> what stands for it

    @classmethod
    def of(cls, plan: Plan, left: Left, shards: ShortShards, output: str) -> Pilot:
        """Short shards in place of the plan's, with the edits that are left, in a scratch output."""
        pending = {request.spec.slug for requests in left.edits for request in requests}
        edits = [edit for edit in plan.edits if edit.slug in pending]
        wanted = {fit.id for fit in left.fits} | {edit.fit_id for edit in edits}
        wanted |= {fit.base for fit in plan.fits if fit.id in wanted}
        kinds, stands_for = dict[str, ShortFits](), {"": ""}
        for fit in plan.fits:  # what others build upon comes first
            if fit.id in wanted:
                short = kinds.setdefault(kind_of(fit), ShortFits.of(replace(fit, base=stands_for[fit.base])))
                stands_for[fit.id] = short.least.id
        small = replace(
            plan,
            output=output,
            shards=shards.all(),
            fits=tuple({fit.id: fit for kind in kinds.values() for fit in kind.all()}.values()),
            edits=tuple(replace(edit, fit_id=stands_for.get(edit.fit_id, "")) for edit in edits),
            max_failure_rate=1.0,
            retries={},
        )
        return cls(small, shards, kinds)

    def run(self, resources: Resources, on_progress: OnProgress) -> tuple[Seconds, int]:
        """Do it with one actor: how long each work took, and how many actors the job would have."""
        run = TimedRun(self.plan, replace(resources, actors=1), on_progress)
        with run:
            for wave in (waves.invert, waves.fit, waves.edit):
                _check(wave(run))
            return run.seconds, max_actors(resources)

    def pace(self, store: Store, seconds: Seconds, left: Left) -> Pace:
        """What the works took, per image and per fit that is left."""
        shards, more = self.shards, self.shards.more
        longer = InvertRequest(shard=shards.longer, spec=self.plan.invert)
        requests = {spec.slug: EditRequest(inversion=longer, spec=spec) for spec in self.plan.edits}
        edits = {slug: _computing(store, request.id, "edit") / more for slug, request in requests.items()}
        inverted, edited = (self._by_shard(wave, seconds) for wave in ("invert", "edit"))
        edit = shards.pace(edited, sum(edits.values()))
        first, second, *_ = shards.all()
        return Pace(
            samples=more,
            size=shards.larger.size,
            start=max(0.0, inverted[first.id] - inverted[second.id]),
            invert=shards.pace(inverted, _computing(store, longer.id, "invert") / more),
            fits={fit.id: self.kinds[kind_of(fit)].whole(fit, seconds) for fit in left.fits},
            restore=replace(edit, image=edit.image - sum(edits.values())),
            edits=edits,
        )

    def _by_shard(self, wave: str, seconds: Seconds) -> dict[str, float]:
        """What the works of a wave took, by shard id; nothing where the wave had nothing to do."""
        return {each.shard.id: seconds.get((wave, each.id), 0.0) for each in self.plan.invert_requests()}


@dataclass(frozen=True)
class Measurement:
    """What a pilot has found out."""

    pace: Pace  # of one actor
    actors: int  # that the job would have
    counted: Mapping[str, int]  # shard id -> samples, of what was opened


def measure(
    plan: Plan, left: Left, resources: Resources, samples: int, on_progress: OnProgress = ignore
) -> Measurement:
    """What one actor takes, from a pilot with one batch and so many samples more of the shard of median size.

    Errors: ValueError when something of the pilot fails, or there is no place for an actor.
    """
    shard = sorted(plan.shards, key=lambda each: each.size)[len(plan.shards) // 2]
    with scratch_output(plan.output, plan.s3) as output:
        shards = ShortShards.of(shard, plan.invert.batch_size, samples, partial(_put, output, plan.s3))
        pilot = Pilot.of(plan, left, shards, output)
        seconds, actors = pilot.run(resources, on_progress)
        pace = pilot.pace(open_store(output, plan.s3), seconds, left)
    return Measurement(pace, actors, {shard.id: shards.samples})


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


def _few_and_more(count: int, batch: int, samples: int) -> tuple[int, int]:
    """Samples of a short and a long work on a shard of `count`, both in whole batches; 0 and all if it has not two."""
    few = max(2, batch)  # one sample is the warm-up's
    batches = min(-(-samples // batch), (count - few) // batch)
    return (few, few + batches * batch) if batches > 0 else (0, max(1, count))


def _excerpt(path: Path, samples: int, put: Callable[[Path], Shard]) -> Shard:
    """The first samples of a tar as a tar of their own: its bytes up to where the last of them ends."""
    groups = read_archive(path).groups[:samples]
    end = max(member.offset + member.size for group in groups for member in group.members.values())
    end += -end % BLOCK
    with tempfile.NamedTemporaryFile(suffix=".tar") as target, path.open("rb") as source:
        while chunk := source.read(min(CHUNK, end - source.tell())):
            target.write(chunk)
        target.write(END_OF_ARCHIVE)
        target.flush()
        return put(Path(target.name))


def _put(output: str, s3: S3Options, path: Path) -> Shard:
    """A local tar as a shard in the scratch output."""
    open_store(output, s3).put_file(EXCERPT, path)
    address = f"{output}/{EXCERPT}" if "://" in output else Path(output, EXCERPT).as_uri()
    (shard,) = find_shards([address], {}, s3)
    return shard


def _computing(store: Store, request_id: str, phase: str) -> float:
    """Seconds that a committed work spent in a phase; what is read and written meanwhile is not in it."""
    record = read_commit(store, request_id)
    assert record is not None, "a wave without failures has committed everything"
    return record.seconds.get(phase, 0.0)
