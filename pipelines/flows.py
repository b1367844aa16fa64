"""The nightly flow. It reads like the table of contents of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prefect import flow

from pipelines.job import Job
from pipelines.progress import Style, shown
from tasks.publish import Publication
from tasks.run import Run
from tasks.status import EditStatus, edit_statuses
from tasks.steps import edit_wave, fit_wave, invert_wave, plan_run, publish
from tasks.waves import Failure, WaveSummary


@dataclass(frozen=True)
class RunSummary:
    """What became of a run."""

    run_id: str
    output: str
    shards: int
    waves: tuple[WaveSummary, ...]
    publication: Publication
    edits: tuple[EditStatus, ...]

    @property
    def failures(self) -> list[Failure]:
        """Everything that was not done."""
        return [failure for wave in self.waves for failure in wave.failures]

    @property
    def exit_code(self) -> Literal[0, 1, 2]:
        """0: every sample of every edit is good; 2: some are not; 1: nothing came out at all."""
        if not self.failures and all(edit.bad == 0 for edit in self.edits):
            return 0
        return 2 if any(edit.counts for edit in self.edits) else 1


@flow(name="edit-dataset", persist_result=False)
def edit_dataset(job: Job, limit_samples: int | None = None, progress: Style = "lines") -> RunSummary:
    """Tars in, edited images with masks and scores out. Running it again does what is left to do."""
    plan = plan_run(job.spec(), limit_samples)
    with shown(progress) as on_progress, Run(plan, job.worker_resources(), on_progress) as run:
        inversions = invert_wave(run)
        editors = fit_wave(run)
        edits = edit_wave(run)
    publication = publish(run)
    waves = (inversions, editors, edits)
    return RunSummary(plan.run_id, plan.output, len(plan.shards), waves, publication, edit_statuses(run.store, plan))
