"""The commands that write HTML pages. Each imports its modules when it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    output: Annotated[str, typer.Argument(help="The output of a job: a folder or URL.")],
    run: Annotated[str | None, typer.Option("--run", help="Id of a run; the newest one otherwise.")] = None,
    dest: Annotated[Path | None, typer.Option(help="A local file; otherwise reports/ of the output.")] = None,
) -> None:
    """Write one HTML page about a run: samples, scores, gates, failures, time. It needs nothing but a browser."""
    from pipelines.jobfile.s3_environment import open_output
    from pipelines.report.gather import find_plan, gather, page_of
    from pipelines.report.page import save
    from pipelines.report.report_files import PAGE, address_of, put
    from pipelines.report.run_record import read_record

    store = open_output(output)
    plan = find_plan(store, run)
    page = page_of(gather(store, plan, read_record(store, plan.run_id)))
    print(save(dest, page) if dest else address_of(output, put(store, plan.run_id, PAGE, page.encode())))


def preview(
    job: Annotated[Path, typer.Argument(help="The job, a YAML file.")],
    samples: Annotated[int, typer.Option("-n", "--samples", min=1, help="Number of samples.")] = 16,
    seed: Annotated[
        int | None, typer.Option("--random", help="Random samples of this seed, not the first ones.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of every fit; such a fit is not kept.")] = None,
    dest: Annotated[Path, typer.Option(help="File for the page.")] = Path("preview.html"),
) -> None:
    """Edit a few samples at several strengths and write a page. Only complete fits are kept in the output."""
    from pipelines.interactive.preview import PreviewOptions
    from pipelines.interactive.preview import preview as preview_page
    from pipelines.jobfile.load import load_job
    from pipelines.report.page import save

    options = PreviewOptions(samples=samples, seed=seed, steps=steps)
    page = preview_page(load_job(job), options, lambda line: print(f"coral: {line}", file=sys.stderr, flush=True))
    print(save(dest, page))
