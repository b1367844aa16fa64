"""The last step of a run: its report, written into the output of the run."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from prefect import task

from pipelines.report.gather import gather, page_of
from pipelines.report.report_files import PAGE, address_of, put
from pipelines.report.run_record import RunRecord, put_record
from tasks.run.prefect_tasks import QUIET
from tasks.run.run import Run

log = logging.getLogger("coral.report")


@dataclass(frozen=True)
class ReportAddress:
    """The address of the page of a run, or the reason why there is none."""

    address: str = ""
    problem: str = ""


@task(name="report", **QUIET)
def write_report(run: Run, record: RunRecord) -> ReportAddress:
    """Write record and page. The edits are published before this step, so an error here does not fail the run."""
    store, plan = run.store, run.plan
    try:
        put_record(store, plan.run_id, record)
        key = put(store, plan.run_id, PAGE, page_of(gather(store, plan, record, run.done)).encode())
    except Exception as error:
        log.warning("no report", exc_info=True)
        return ReportAddress(problem=f"{type(error).__name__}: {error}")
    return ReportAddress(address=address_of(plan.output, key))
