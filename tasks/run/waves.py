"""The three waves of work: each subtracts what is done, has the rest done by the workers, and says what happened."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from manifests.commit import committed
from tasks.artifacts.stored import fitted
from tasks.cluster.backlog import Outcome
from tasks.cluster.pooled_worker import FIT_ATTEMPTS, SHARD_ATTEMPTS, Work
from tasks.run.run import Run
from tasks.shards.output import ShardReport
from tasks.shards.refusals import Refusal, read_refusals
from tasks.spec.requests import FitRequest

QUARANTINE_METHODS = {"invert": "quarantine_inversion", "edit": "quarantine_edits"}
"""Method of a work on a shard -> the method that quarantines the shard instead."""


@dataclass(frozen=True)
class Failure:
    """A piece of work that was not done."""

    work: str
    error: str  # one line
    traceback: str = ""  # of an error of the code


@dataclass
class WaveSummary:
    """What a wave did."""

    wave: str
    done: int = 0  # requests
    reused: int = 0  # requests that had been done before
    samples: int = 0  # images (times edits, in the edit wave) done now
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)  # status -> samples done now
    failures: list[Failure] = field(default_factory=list)
    left: int = 0  # pieces of work that the time limit left no time for

    def add(self, report: ShardReport) -> None:
        """Count what became of one request."""
        if report.refused:
            self.failures.append(Failure(f"{self.wave} {report.name}", report.refused))
            return
        self.done += not report.reused
        self.reused += report.reused
        if not report.reused:
            self.counts = dict(Counter(self.counts) + Counter(report.counts))
            self.samples += sum(report.counts.values())

    def take(self, outcome: Outcome) -> None:
        """Count what became of a shard, or note the error that its work ended in."""
        if outcome.error:
            self.fail(outcome)
        else:
            for report in outcome.result:
                self.add(report)

    def fail(self, outcome: Outcome) -> None:
        """Note that a piece of work ended in an error."""
        self.failures.append(Failure(outcome.work.name, outcome.error, outcome.traceback))


def invert(run: Run) -> WaveSummary:
    """Latents for every shard that has none."""
    requests, done = run.plan.invert_requests(), committed(run.store)
    refused, limit = read_refusals(run.store, run.plan.max_failure_rate), run.deadlines.shard_minutes
    missing = [each for each in requests if each.id not in done]
    works = [
        Work(each.id, f"invert {each.shard.uri}", "invert", (each,), limit)
        for each in missing
        if each.id not in refused
    ]
    with summary("invert", reused=len(requests) - len(missing)) as found:
        found.failures += [
            _refused_before(f"invert {each.shard.uri}", refused[each.id], run) for each in missing if each.id in refused
        ]
        _do_shards(run, works, found)
    return found


def fit(run: Run) -> WaveSummary:
    """An artifact for every edit that needs one: loaded if an identical one is stored, trained otherwise."""
    requests, done = run.plan.fits, fitted(run.store)
    missing = [each for each in requests if each.id not in done]
    bases = {each.base for each in requests}
    below = {each.method for each in requests if each.id in bases}  # with their warm-ups, in a pilot
    with summary("fit", reused=len(requests) - len(missing)) as found:
        found.left = len(missing)
        _do_fits(run, [each for each in missing if each.method in below], found)
        _do_fits(run, [each for each in missing if each.method not in below], found)
    return found


def _do_fits(run: Run, requests: Sequence[FitRequest], found: WaveSummary) -> None:
    """Those whose base is there. One that was not fitted is a failure already; what builds upon it is another."""
    done = fitted(run.store) if any(each.base for each in requests) else frozenset()
    works = []
    for each in requests:
        name = f"fit {each.target or each.method}"
        if not each.base or each.base in done:
            attempts = SHARD_ATTEMPTS if each.captions else FIT_ATTEMPTS  # the user's data may be to blame
            works.append(Work(each.id, name, "fit", (each,), run.deadlines.fit_minutes, attempts))
        elif not run.limit.used_up:
            found.left -= 1
            found.failures.append(Failure(name, "not fitted, because what it builds upon was not fitted"))
    for outcome in run.outcomes("fit", works, lambda artifact: 0):
        found.left -= 1
        if outcome.error:
            found.fail(outcome)
        else:
            found.done += 1


def edit(run: Run) -> WaveSummary:
    """Every edit of every shard, as far as there are latents and artifacts for it."""
    done, artifacts = committed(run.store), fitted(run.store)
    refused = read_refusals(run.store, run.plan.max_failure_rate)
    works, reused, unfinished, failures = [], 0, 0, []
    for requests in run.plan.edit_requests():
        missing = [request for request in requests if request.id not in done]
        pending = [request for request in missing if request.id not in refused]
        reused += len(requests) - len(missing)
        unfinished += bool(pending)
        failures += [
            _refused_before(f"edit {each.spec.edit_id} of {each.shard.uri}", refused[each.id], run)
            for each in missing
            if each.id in refused
        ]
        ready = [each for each in pending if each.spec.fit_id in artifacts or not each.spec.fit_id]
        if pending and pending[0].inversion.id not in done:
            failures.append(Failure(f"edit {pending[0].shard.uri}", "not edited, because it was not inverted"))
        elif ready:
            limit = run.deadlines.shard_minutes
            works.append(Work(ready[0].inversion.id, f"edit {ready[0].shard.uri}", "edit", (ready,), limit))
    unfitted = [each for each in run.plan.edits if each.fit_id and each.fit_id not in artifacts]
    failures += [Failure(f"edit {each.slug}", "not edited, because it was not fitted") for each in unfitted]
    with summary("edit", reused) as found:
        if run.limit.used_up:
            found.left = unfinished  # and what they wait for is no failure: there was no time for it
            return found
        found.failures += failures
        _do_shards(run, works, found)
    return found


def _refused_before(name: str, refusal: Refusal, run: Run) -> Failure:
    """An earlier run found that too many samples fail. That is reported every time, and not computed again."""
    why = refusal.reason(run.plan.max_failure_rate)
    return Failure(
        name,
        f"not committed by an earlier run: {why}; it is not tried again until its input, max_failure_rate or the "
        "version of the computation changes, or by --retry failed",
    )


@contextmanager
def summary(wave: str, reused: int = 0) -> Iterator[WaveSummary]:
    """A summary to fill, with the time the block takes."""
    started = time.perf_counter()
    found = WaveSummary(wave, reused=reused)
    yield found
    found.seconds = time.perf_counter() - started


def _do_shards(run: Run, works: Sequence[Work], found: WaveSummary) -> None:
    """Do the works, and set those aside that kill their workers: only when all others had their turn."""
    deadly = []
    found.left += len(works)
    for outcome in run.outcomes(found.wave, works, _samples):
        found.left -= 1
        if outcome.deadly:
            deadly.append(outcome)
        found.take(outcome)
    for outcome in run.outcomes("quarantine", [quarantine_work(each) for each in deadly], _samples):
        found.take(outcome)


def quarantine_work(outcome: Outcome) -> Work:
    """Instead of a work that is given up: its samples as rows without a result."""
    work = outcome.work
    arguments = (*work.arguments, outcome.error)
    return Work(work.key, f"quarantine {work.name}", QUARANTINE_METHODS[work.method], arguments, work.minutes)


def _samples(reports: Sequence[ShardReport]) -> int:
    return sum(sum(report.counts.values()) for report in reports)
