"""Running the flow for a job in this process, with the exit codes that shells expect."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pipelines.flow.engines import prepare_engines
from pipelines.flow.server import ensure_server
from pipelines.flow.stopping import Stopping

if TYPE_CHECKING:
    from pipelines.flow.flow import RunSummary
    from pipelines.jobfile.job import Job
    from tasks.plan.retry import Retryable


def run_flow(job: Job, limit_samples: int | None = None, retry: tuple[Retryable, ...] = ()) -> RunSummary:
    """Run the flow in this process. After SIGINT or SIGTERM the process exits with 128 + the signal's number.

    Errors: ValueError and OSError, in one line each, if Prefect or Ray cannot start here.
    """
    stopping = Stopping()
    prepare_engines()
    with ThreadPoolExecutor(1) as executor:  # the imports take as long as the start of the server
        server = executor.submit(ensure_server)
        from prefect.exceptions import TerminationSignal  # here: Prefect reads what prepare_engines sets when imported

        from pipelines.flow.flow import edit_dataset

    server.result()
    try:
        return edit_dataset(job, limit_samples, "bars" if sys.stderr.isatty() else "lines", retry)
    except (KeyboardInterrupt, TerminationSignal, SystemExit) as stop:
        stopping.end(signal.SIGINT if isinstance(stop, KeyboardInterrupt) else signal.SIGTERM)
