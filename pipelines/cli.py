"""The command line. Each command imports what it needs, so that --help answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.bench.cli import bench_app

if TYPE_CHECKING:
    from pipelines.flows import RunSummary
    from pipelines.job import Job

app = typer.Typer(
    help="Edit image data sets with text: WebDataset tars in; edited images, masks and scores in Parquet out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
zoo = typer.Typer(help="Train and check the embedded networks.", no_args_is_help=True)
app.add_typer(zoo, name="zoo")
app.add_typer(bench_app, name="bench")

JobFile = Annotated[Path, typer.Argument(help="The job, a YAML file.")]
Output = Annotated[str, typer.Argument(help="The output of a job: a folder or URL.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N samples of the input.")]


def main() -> None:
    """Entry point. What the user has to put right is one line, without traceback."""
    try:
        app()
    except ValueError as error:
        if os.environ.get("CORAL_TRACEBACK"):
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
) -> None:
    """Write WebDataset tars of procedural portraits to try things on."""
    from pipelines.demo_data import write_demo_data

    paths = write_demo_data(dest, shards, samples, split, size, image_format)
    print(f"{len(paths)} tars with {shards * samples} portraits of {size} px in {dest}")


@app.command()
def plan(job: JobFile, limit_samples: Limit = None) -> None:
    """Say what a run would do, and do nothing."""
    from manifests.store import open_store
    from pipelines.job import load_job
    from pipelines.tables import plan_table, show
    from tasks.plan import make_plan
    from tasks.status import plan_status

    planned = make_plan(load_job(job).spec(), limit_samples)
    show(plan_table(planned, plan_status(open_store(planned.output), planned)))


@app.command()
def run(job: JobFile, limit_samples: Limit = None) -> None:
    """Run a job, or what is left of it. Exit code 0: all good; 2: some samples failed; 1: nothing came out."""
    from pipelines.job import load_job
    from pipelines.tables import run_tables, show

    wanted = load_job(job)
    summary = run_flow(wanted, limit_samples)
    show(*run_tables(summary))
    raise typer.Exit(summary.exit_code)


@app.command()
def status(output: Output, as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Say how far an output is."""
    import json
    from dataclasses import asdict

    from manifests.store import open_store
    from pipelines.tables import show, status_tables
    from tasks.status import output_status

    found = output_status(open_store(output))
    if as_json:
        print(json.dumps(asdict(found), indent=1))
    else:
        show(*status_tables(found))


@app.command()
def query(
    output: Output,
    sql: Annotated[str, typer.Argument(help="One SELECT over the table `manifest`.")],
    form: Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="Of the result.")] = "table",
) -> None:
    """Ask the manifest with SQL (DuckDB)."""
    from manifests.query import query as ask
    from manifests.store import open_store
    from pipelines.tables import write_rows

    found = ask(open_store(output), sql)
    write_rows(found.column_names, found.to_pylist(), form)


@zoo.command()
def train(
    name: Annotated[str, typer.Argument(help="Which network; an unknown name lists them.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's own number.")] = None,
    seed: Annotated[int, typer.Option(help="Of initial weights and batches.")] = 0,
    warm_start: Annotated[bool, typer.Option(help="Begin from the shipped weights.")] = True,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    folder: Annotated[Path, typer.Option(help="For corpora, checkpoints and loss curves.")] = Path("runs/zoo"),
) -> None:
    """Train an embedded network and write its weights."""
    from coral_core.zoo.train import TrainConfig
    from coral_core.zoo.train import train as train_network
    from pipelines.tables import training_line

    config = TrainConfig(steps=steps, seed=seed, warm_start=warm_start, device=device, folder=folder)
    report = train_network(name, config, training_line)
    print(f"{report.name}: {report.steps} steps in {report.seconds:.0f} s; {dict(report.metrics)}")


@zoo.command()
def check(bundle: Annotated[str, typer.Argument(help="A name of the catalogue or a folder.")] = "portraits") -> None:
    """Load every network of a bundle, strictly, and show what its files say of their quality."""
    from coral_core.models import load_models
    from coral_core.zoo.catalog import read_bundle
    from pipelines.tables import bundle_table, show

    load_models(bundle)
    show(bundle_table(read_bundle(bundle)))


def run_flow(job: Job, limit_samples: int | None = None) -> RunSummary:
    """The flow, in this process. When told to stop, SystemExit with 128 and the signal's number, as shells have it."""
    import signal
    from concurrent.futures import ThreadPoolExecutor

    from pipelines.server import start_temporary_server

    quiet_engines()
    with ThreadPoolExecutor(1) as beside:  # the imports take as long as the server
        beside.submit(start_temporary_server)
        from prefect.exceptions import TerminationSignal

        from pipelines.flows import edit_dataset

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # Prefect hands the signal on to us
    try:
        return edit_dataset(job, limit_samples, "bars" if sys.stderr.isatty() else "lines")
    except (KeyboardInterrupt, TerminationSignal, SystemExit) as stop:
        print("coral: stopped; run the same command again to go on from here", file=sys.stderr)
        number = signal.SIGINT if isinstance(stop, KeyboardInterrupt) else signal.SIGTERM
        sys.exit(128 + number)


def quiet_engines() -> None:
    """Settings of Prefect and Ray before they are imported: no telemetry, no chatter. What is set already stays."""
    settings = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_worker_niceness": "0",  # Ray's own 15 starves the workers as soon as anything else runs
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
