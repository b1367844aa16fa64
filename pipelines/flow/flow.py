"""The Prefect flow of a run: plan, invert, fit, edit, publish, report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prefect import flow

from pipelines.flow.progress import Style, displayed
from pipelines.jobfile.job import Job
from pipelines.report.prefect_task import ReportAddress, write_report
from pipelines.report.run_record import RunRecord
from tasks.cluster.time_limit import TimeLimit
from tasks.plan.retry import Retryable
from tasks.plan.status import EditStatus, edit_statuses
from tasks.publish.publish import Publication
from tasks.run.prefect_tasks import edit_wave, fit_wave, invert_wave, plan_run, publish, start
from tasks.run.publishing import published_at_last
from tasks.run.run import Run
from tasks.run.waves import Failure, WaveSummary


@dataclass(frozen=True)
class RunSummary:
    """The result of a run."""

    run_id: str
    output: str
    shards: int
    waves: tuple[WaveSummary, ...]
    publication: Publication
    edits: tuple[EditStatus, ...]
    actor_hours: float  # hours for which actors were ready, summed over all actors
    cost: str  # of the actor hours; empty without a price
    excluded: tuple[str, ...]  # devices and hosts excluded from the run, each with the reason
    report: ReportAddress

    @property
    def left(self) -> int:
        """Works for which the time limit left no time."""
        return sum(wave.left for wave in self.waves)

    @property
    def failures(self) -> list[Failure]:
        """All works that were not done."""
        return [failure for wave in self.waves for failure in wave.failures]

    @property
    def exit_code(self) -> Literal[0, 1, 2]:
        """0: every sample of every edit has an image, ok or rejected; 2: some have none, or not yet; 1: no rows."""
        if self.left:
            return 2
        if not self.failures and all(edit.bad == 0 for edit in self.edits):
            return 0
        return 2 if any(edit.counts for edit in self.edits) else 1


@flow(name="edit-dataset", persist_result=False)
def edit_dataset(
    job: Job, limit_samples: int | None = None, progress: Style = "lines", retry: tuple[Retryable, ...] = ()
) -> RunSummary:
    """Read tars; write edited images with masks and scores. A second run of a job does only what is left.

    Requests with rows of the statuses in `retry` are tried again.
    """
    limit = TimeLimit.from_now(job.max_hours)
    plan = plan_run(job.spec(), limit_samples, retry)
    deadlines = job.deadlines.spec()
    with (
        displayed(progress) as on_progress,
        Run(plan, job.worker_resources(), on_progress, deadlines, limit, job.publish_every_minutes) as run,
    ):
        start(run)
        with published_at_last(run):
            inversions = invert_wave(run)
            editors = fit_wave(run)
            edits = edit_wave(run)
    publication = publish(run)
    record = RunRecord.of(job, (inversions, editors, edits), run.actor_hours, run.excluded)
    return RunSummary(
        run_id=plan.run_id,
        output=plan.output,
        shards=len(plan.shards),
        waves=record.waves,
        publication=publication,
        edits=edit_statuses(run.store, plan),
        actor_hours=record.actor_hours,
        cost=record.cost,
        excluded=record.excluded,
        report=write_report(run, record),
    )
