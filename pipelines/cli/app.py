"""The command line. Each command imports its modules when it is called, so that --help is fast."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.cli.bench import bench_app
from pipelines.cli.edit import edit
from pipelines.cli.manifest import history, query, restore, verify
from pipelines.cli.report import preview, report
from pipelines.cli.zoo import zoo_app

if TYPE_CHECKING:
    from pipelines.jobfile.job import Job
    from tasks.estimate.workload import PendingWork, SampleCounts
    from tasks.plan.plan import Plan

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(zoo_app, name="zoo")
app.add_typer(bench_app, name="bench")
app.command()(preview)
app.command()(edit)
app.command()(report)
for command in (query, history, restore, verify):
    app.command()(command)

JobFile = Annotated[Path, typer.Argument(help="The job, a YAML file.")]
Output = Annotated[str, typer.Argument(help="The output of a job: a folder or URL.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N samples of the input.")]


def show_version(requested: bool) -> None:
    """Print the version and exit, if --version was given."""
    if requested:
        from pipelines.cli.version import version

        print(f"coral {version()}")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Edit image data sets with text: WebDataset tars in; edited images, masks and scores in Parquet out."""


def main() -> None:
    """Entry point. Errors that the user can correct are printed as one line, without traceback."""
    try:
        app()
    except Exception as error:
        from manifests.stores.store import CommitConflict, CommitUnknown

        expected = isinstance(error, ValueError | OSError | CommitConflict | CommitUnknown)
        if not expected or os.environ.get("CORAL_TRACEBACK"):
            raise
        print(f"coral: {error}", file=sys.stderr)
        sys.exit(1)


@app.command("demo-data")
def demo_data(
    dest: Annotated[Path, typer.Argument(help="Folder for the tars.")],
    shards: Annotated[int, typer.Option(help="Number of tars.")] = 4,
    samples: Annotated[int, typer.Option(help="Portraits in each.")] = 64,
    split: Annotated[str, typer.Option(help="Range of seeds: train, dev, test or reserved.")] = "test",
    size: Annotated[int, typer.Option(help="Pixels of the square images.")] = 64,
    image_format: Annotated[Literal["png", "jpg"], typer.Option("--format", help="Image members.")] = "png",
    captions: Annotated[int, typer.Option(help="Captions of each portrait, one per line.")] = 1,
    wordings: Annotated[
        Literal["all", "training", "held-out"],
        typer.Option(help="Wordings of the captions; held-out ones are in no training caption."),
    ] = "all",
) -> None:
    """Write WebDataset tars of procedural portraits to try things on."""
    from pipelines.cli.demo_data import Portraits, write_demo_data

    portraits = Portraits(size=size, image_format=image_format, captions=captions, wordings=wordings)
    paths = write_demo_data(dest, shards, samples, split, portraits)
    print(f"{len(paths)} tars with {shards * samples} portraits of {size} px in {dest}")


@app.command()
def plan(
    job: JobFile,
    limit_samples: Limit = None,
    measure: Annotated[bool, typer.Option("--measure", help="Estimate the duration from a small pilot.")] = False,
    pilot_samples: Annotated[int, typer.Option(min=1, help="For --measure: besides one batch, in whole batches.")] = 32,
) -> None:
    """Show what a run would do. Nothing is done, except that --measure runs a pilot, whose results are deleted."""
    from manifests.stores.open import open_store
    from pipelines.cli.console import show
    from pipelines.cli.plan_tables import plan_tables
    from pipelines.jobfile.load import load_job
    from tasks.estimate.workload import count_plan, estimate, pending_work
    from tasks.plan.plan import make_plan
    from tasks.plan.status import plan_status

    wanted = load_job(job)
    planned = make_plan(wanted.spec(), limit_samples)
    store = open_store(planned.output, planned.s3)
    left, counts = pending_work(store, planned), count_plan(store, planned)
    show(*plan_tables(planned, plan_status(store, planned), estimate(store, planned, left, counts)))
    if measure and not left.is_empty:
        show_forecast(wanted, planned, left, counts, pilot_samples)


@app.command()
def run(
    job: JobFile,
    limit_samples: Limit = None,
    retry: Annotated[
        Literal["quarantined", "failed"] | None, typer.Option(help="Try requests with samples of this status again.")
    ] = None,
) -> None:
    """Run a job, or continue it. Exit code 0: all good; 2: some samples failed, or work is left; 1: failed."""
    from pipelines.cli.console import show
    from pipelines.cli.tables import run_tables
    from pipelines.flow.start import run_flow
    from pipelines.jobfile.load import load_job

    wanted = load_job(job)
    summary = run_flow(wanted, limit_samples, () if retry is None else (retry,))
    show(*run_tables(summary))
    raise typer.Exit(summary.exit_code)


@app.command()
def publish(job: JobFile, limit_samples: Limit = None) -> None:
    """Publish the committed edits with the job's present gates and labels. Edits nothing and starts no workers."""
    from manifests.commit import committed
    from manifests.stores.open import open_store
    from manifests.table_preflight import preflight_output
    from pipelines.cli.console import show
    from pipelines.cli.tables import publication_tables
    from pipelines.jobfile.load import load_job
    from tasks.plan.plan import make_plan, record_plan
    from tasks.plan.status import edit_statuses, plan_status
    from tasks.publish.publish import publish_edits

    planned = make_plan(load_job(job).spec(), limit_samples)
    store = open_store(planned.output, planned.s3)
    preflight_output(store)
    record_plan(store, planned)
    publication = publish_edits(store, planned, committed(store))
    show(*publication_tables(planned.output, edit_statuses(store, planned), publication))
    share = plan_status(store, planned).edited
    if share.done < share.total:
        print(f"{share.total - share.done} of {share.total} edits of shards are still to do: coral run {job}")


@app.command()
def status(output: Output, as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show the progress of an output."""
    import json
    from dataclasses import asdict

    from pipelines.cli.console import show
    from pipelines.cli.tables import status_tables
    from pipelines.jobfile.s3_environment import open_output
    from tasks.plan.status import output_status

    progress = output_status(open_output(output))
    if as_json:
        print(json.dumps(asdict(progress), indent=1))
    else:
        show(*status_tables(progress))


@app.command()
def gates(
    output: Output,
    suggest: Annotated[bool, typer.Option("--suggest", help="Thresholds from the stored scores, for the job.")] = False,
    keep: Annotated[float, typer.Option(help="Share of the images that a suggestion keeps.")] = 0.9,
    edit: Annotated[str | None, typer.Option(help="Only this edit: its id in the job, or in the manifest.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
) -> None:
    """Show the gates in force and what each rejects, or suggest thresholds."""
    import json

    from pipelines.cli.console import show
    from pipelines.cli.gates import as_json as effects_as_json
    from pipelines.cli.gates import gates_table, read_effects, snippet
    from pipelines.jobfile.s3_environment import open_output
    from tasks.plan.status import expect_planned

    store = open_output(output)
    expect_planned(store)
    effects = read_effects(store, keep if suggest else None, edit)
    if as_json:
        print(json.dumps(effects_as_json(effects), indent=1))
    elif suggest:
        print(*snippet(effects, keep), sep="\n")
    else:
        show(gates_table(effects))


@app.command()
def export(
    output: Output,
    dest: Annotated[str, typer.Argument(help="An empty folder or s3:// prefix; or an export that was interrupted.")],
    where: Annotated[
        str, typer.Option(help="SQL condition over the manifest; only rows with status ok are selected.")
    ] = "true",
    to: Annotated[
        Literal["webdataset", "parquet"], typer.Option(help="Tars to train on, or a table with images.")
    ] = "webdataset",
    with_masks: Annotated[bool, typer.Option("--with-masks", help="Also the mask of each edit.")] = False,
    with_rejected: Annotated[bool, typer.Option("--with-rejected", help="Also rows that a gate rejected.")] = False,
    with_removed: Annotated[
        bool, typer.Option("--with-removed", help="Also rows whose source is gone and that the job marks.")
    ] = False,
    without_sidecars: Annotated[
        bool,
        typer.Option("--without-sidecars", help="Without text members; the source tars are not read."),
    ] = False,
    shard_size: Annotated[str, typer.Option(help="A file is full as soon as it has about this size.")] = "256MB",
    max_samples: Annotated[int | None, typer.Option(min=1, help="... or this many samples.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N rows.")] = None,
) -> None:
    """Write edited images with their labels as training files. Run it again to continue an interrupted export."""
    from pipelines.cli.export import export_lines, parse_size, report_lines
    from pipelines.jobfile.s3_environment import open_output, s3_options
    from tasks.export.export import ExportSpec
    from tasks.export.export import export as export_rows
    from tasks.export.files import FileOptions
    from tasks.plan.status import expect_planned

    store = open_output(output)
    expect_planned(store)
    files = FileOptions(kind=to, with_masks=with_masks, max_bytes=parse_size(shard_size), max_samples=max_samples)
    spec = ExportSpec(
        where=where,
        with_rejected=with_rejected,
        with_removed=with_removed,
        limit=limit,
        with_sidecars=not without_sidecars,
        files=files,
    )
    with export_lines() as on_files:
        report = export_rows(store, open_output(dest), spec, on_files, s3_options({}))
    print(*report_lines(report, dest), sep="\n")


@app.command()
def gc(
    output: Output,
    older_than: Annotated[float, typer.Option(min=1.0, help="Hours; running attempts need their recent objects.")] = 24,
    keep_history: Annotated[
        float, typer.Option(min=0, help="Days for which earlier versions of the manifest can be read; 30 at most.")
    ] = 7,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them; without it they are only listed.")] = False,
) -> None:
    """List objects that killed attempts left behind and nothing refers to; with --delete, delete them."""
    from pipelines.cli.tables import leftover_lines
    from pipelines.jobfile.s3_environment import open_output
    from tasks.publish.gc import find_leftovers, remove

    store = open_output(output)
    leftovers = find_leftovers(store, older_than, history_days=keep_history)
    if delete:
        remove(store, leftovers)
    print(*leftover_lines(leftovers, delete), sep="\n")


def show_forecast(job: Job, plan: Plan, left: PendingWork, counts: SampleCounts, pilot_samples: int) -> None:
    """Time a pilot, and print how long the remaining work will take."""
    from pipelines.flow.engines import prepare_engines

    prepare_engines()
    from pipelines.cli.console import show
    from pipelines.cli.plan_tables import forecast_tables
    from pipelines.flow.progress import displayed
    from tasks.estimate.forecast import forecast
    from tasks.estimate.pilot import measure

    with displayed("lines") as on_progress:
        pilot = measure(plan, left, job.worker_resources(), pilot_samples, on_progress)
    counts = counts.with_counts(pilot.counted)
    show(*forecast_tables(forecast(left, counts, pilot.times, pilot.actors, job.price()), pilot.times, counts))
