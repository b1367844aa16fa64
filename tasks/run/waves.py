"""The three waves of work: each subtracts what is done, gives the rest to the workers, and returns a summary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from manifests.commit import read_commit
from tasks.artifacts.fit_requests import base_levels
from tasks.artifacts.stored import fitted_ids
from tasks.cluster.backlog import Outcome
from tasks.cluster.pooled_worker import FIT_ATTEMPTS, SHARD_ATTEMPTS, Work
from tasks.run.run import Run
from tasks.shards.output import ShardReport
from tasks.shards.refusals import Refusal, read_refusals
from tasks.spec.callbacks import ignore
from tasks.spec.requests import FitRequest

QUARANTINE_METHODS = {"invert": "quarantine_inversion", "edit": "quarantine_edits"}
"""Worker method of a work on a shard -> the method that quarantines the shard."""


@dataclass(frozen=True)
class Failure:
    """A work that was not done."""

    work: str
    error: str  # one line
    traceback: str = ""  # if the code raised an error


@dataclass
class WaveSummary:
    """The result of a wave."""

    wave: str
    done: int = 0  # requests
    reused: int = 0  # requests that had been done before
    samples: int = 0  # images (times edits, in the edit wave) done now
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)  # status -> samples done now
    failures: list[Failure] = field(default_factory=list)
    left: int = 0  # works for which the time limit left no time

    def add(self, report: ShardReport) -> None:
        """Count the result of one request."""
        if report.refused:
            self.failures.append(Failure(f"{self.wave} {report.name}", report.refused))
            return
        self.done += not report.reused
        self.reused += report.reused
        if not report.reused:
            self.counts = dict(Counter(self.counts) + Counter(report.counts))
            self.samples += sum(report.counts.values())

    def add_outcome(self, outcome: Outcome) -> None:
        """Count the results of the work on a shard, or add its error to the failures."""
        if outcome.error:
            self.add_failure(outcome)
        else:
            for report in outcome.result:
                self.add(report)

    def add_failure(self, outcome: Outcome) -> None:
        """Add the error of a work to the failures."""
        self.failures.append(Failure(outcome.work.name, outcome.error, outcome.traceback))


def invert(run: Run) -> WaveSummary:
    """Compute latents for every shard that has none."""
    requests, done = run.plan.invert_requests(), run.done
    refused, limit = read_refusals(run.store, run.plan.max_failure_rate), run.deadlines.shard_minutes
    missing = [request for request in requests if request.id not in done]
    works = [
        Work(request.id, f"invert {request.shard.uri}", "invert", (request,), limit)
        for request in missing
        if request.id not in refused
    ]
    with timed_summary("invert", reused=len(requests) - len(missing)) as summary:
        summary.failures += [
            _refused_before(f"invert {request.shard.uri}", refused[request.id], run)
            for request in missing
            if request.id in refused
        ]
        _run_shards(run, works, summary)
    return summary


def fit(run: Run) -> WaveSummary:
    """Fit every artifact that an edit needs and the store does not have."""
    requests, done = run.plan.fits, fitted_ids(run.store)
    missing = [request for request in requests if request.id not in done]
    with timed_summary("fit", reused=len(requests) - len(missing)) as summary:
        summary.left = len(missing)
        for level in base_levels(requests):
            _run_fits(run, [request for request in level if request.id not in done], summary)
    return summary


def _run_fits(run: Run, requests: Sequence[FitRequest], summary: WaveSummary) -> None:
    """Fit those whose base is fitted. The others are failures, in addition to the failure of their base."""
    done = fitted_ids(run.store) if any(request.base for request in requests) else frozenset()
    works = []
    for request in requests:
        name = f"fit {request.target or request.method}"
        if not request.base or request.base in done:
            attempts = SHARD_ATTEMPTS if request.captions else FIT_ATTEMPTS  # captions: the user's data may be to blame
            works.append(Work(request.id, name, "fit", (request,), run.deadlines.fit_minutes, attempts))
        elif not run.limit.used_up:
            summary.left -= 1
            summary.failures.append(Failure(name, "not fitted, because what it builds upon was not fitted"))
    for outcome in run.outcomes("fit", works, lambda artifact: 0):
        summary.left -= 1
        if outcome.error:
            summary.add_failure(outcome)
        else:
            summary.done += 1


def edit(run: Run, on_commit: Callable[[], None] = ignore) -> WaveSummary:
    """Apply every edit to every shard that has latents, if the edit's artifact is fitted.

    `on_commit` is called whenever all edits of a shard are done.
    """
    done, artifacts = run.done, fitted_ids(run.store)
    refused = read_refusals(run.store, run.plan.max_failure_rate)
    works, reused, unfinished, failures = [], 0, 0, []
    for requests in run.plan.edit_requests():
        missing = [request for request in requests if request.id not in done]
        pending = [request for request in missing if request.id not in refused]
        reused += len(requests) - len(missing)
        unfinished += bool(pending)
        failures += [
            _refused_before(f"edit {request.spec.edit_id} of {request.shard.uri}", refused[request.id], run)
            for request in missing
            if request.id in refused
        ]
        ready = [request for request in pending if request.spec.fit_id in artifacts or not request.spec.fit_id]
        if pending and pending[0].inversion.id not in done:
            failures.append(Failure(f"edit {pending[0].shard.uri}", "not edited, because it was not inverted"))
        elif ready:
            limit = run.deadlines.shard_minutes
            works.append(Work(ready[0].inversion.id, f"edit {ready[0].shard.uri}", "edit", (ready,), limit))
    unfitted = [edit for edit in run.plan.edits if edit.fit_id and edit.fit_id not in artifacts]
    failures += [Failure(f"edit {edit.slug}", "not edited, because it was not fitted") for edit in unfitted]
    with timed_summary("edit", reused) as summary:
        if run.limit.used_up:
            summary.left = unfinished  # a missing inversion or fit is no failure then: there was no time for it
            return summary
        summary.failures += failures
        _run_shards(run, works, summary, on_commit)
    return summary


def _refused_before(name: str, refusal: Refusal, run: Run) -> Failure:
    """The failure of a request of which too many samples failed in an earlier run; it is not computed again."""
    reason = refusal.reason(run.plan.max_failure_rate)
    return Failure(
        name,
        f"not committed by an earlier run: {reason}; it is not tried again until its input, max_failure_rate or the "
        "version of the computation changes, or by --retry failed",
    )


@contextmanager
def timed_summary(wave: str, reused: int = 0) -> Iterator[WaveSummary]:
    """A summary to fill in the block; its `seconds` are the time that the block takes."""
    started = time.perf_counter()
    summary = WaveSummary(wave, reused=reused)
    yield summary
    summary.seconds = time.perf_counter() - started


def _run_shards(run: Run, works: Sequence[Work], summary: WaveSummary, on_commit: Callable[[], None] = ignore) -> None:
    """Run the works; after all of them, quarantine the shards of those that killed their workers."""
    deadly = []
    summary.left += len(works)
    for outcome in run.outcomes(summary.wave, works, _samples):
        summary.left -= 1
        if outcome.deadly:
            deadly.append(outcome)
        _add(run, outcome, summary)
        on_commit()
    for outcome in run.outcomes("quarantine", [quarantine_work(outcome) for outcome in deadly], _samples):
        _add(run, outcome, summary)


def _add(run: Run, outcome: Outcome, summary: WaveSummary) -> None:
    summary.add_outcome(outcome)
    if not outcome.error:
        run.done.update(report.request_id for report in outcome.result if not report.refused)
        return
    (requests, *_) = outcome.work.arguments  # a work that failed may have committed some of its requests
    ids = [request.id for request in (requests if isinstance(requests, Sequence) else (requests,))]
    run.done.update(request_id for request_id in ids if read_commit(run.store, request_id) is not None)


def quarantine_work(outcome: Outcome) -> Work:
    """The work that replaces one that is given up: it commits the shard's samples as rows without a result."""
    work = outcome.work
    arguments = (*work.arguments, outcome.error)
    return Work(work.key, f"quarantine {work.name}", QUARANTINE_METHODS[work.method], arguments, work.minutes)


def _samples(reports: Sequence[ShardReport]) -> int:
    return sum(sum(report.counts.values()) for report in reports)
