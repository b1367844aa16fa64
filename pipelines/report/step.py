"""The last step of a run: its page, put beside what it is about."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task

from pipelines.report.report import address_of, gather, page_of, put_page
from tasks.run import Run
from tasks.steps import QUIET
from tasks.waves import Failure

log = logging.getLogger("coral.report")


@dataclass(frozen=True)
class ReportPlace:
    """Where the page of a run is, or why there is none."""

    address: str = ""
    problem: str = ""


@task(name="report", **QUIET)
def write_report(run: Run, failures: Sequence[Failure]) -> ReportPlace:
    """Write the page. Everything it is about is published by now, so that its own failure is no failure of the run."""
    store, plan = run.store, run.plan
    try:
        key = put_page(store, plan.run_id, page_of(gather(store, plan, failures)))
    except (OSError, RuntimeError, ValueError) as error:
        log.warning("no report", exc_info=True)
        return ReportPlace(problem=f"{type(error).__name__}: {error}")
    return ReportPlace(address=address_of(plan.output, key))
