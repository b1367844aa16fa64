"""`coral zoo`. Each command imports its modules when it is called, so that --help is fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

zoo_app = typer.Typer(help="Train, check and draw the embedded networks.", no_args_is_help=True)


@zoo_app.command()
def train(
    name: Annotated[str, typer.Argument(help="Network; an unknown name prints the list.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Number of steps; the recipe's by default.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of initial weights and batches.")] = 0,
    warm_start: Annotated[bool, typer.Option(help="Start from the shipped weights.")] = True,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    folder: Annotated[Path, typer.Option(help="Folder for corpora, checkpoints and loss curves.")] = Path("runs/zoo"),
) -> None:
    """Train an embedded network and write its weights."""
    from coral_core.zoo.train import TrainConfig
    from coral_core.zoo.train import train as train_network
    from pipelines.cli.tables import training_line

    config = TrainConfig(steps=steps, seed=seed, warm_start=warm_start, device=device, folder=folder)
    report = train_network(name, config, training_line)
    print(f"{report.name}: {report.steps} steps in {report.seconds:.0f} s; {dict(report.metrics)}")


@zoo_app.command()
def fit(
    method: Annotated[str, typer.Argument(help="A method whose artifact ships with bundles.")],
    captions: Annotated[
        list[str] | None, typer.Option(help="Tars of images, each with its captions in <key>.txt, if it needs them.")
    ] = None,
    bundle: Annotated[str, typer.Option(help="A name of the catalogue or a folder.")] = "portraits",
    option: Annotated[
        list[str] | None, typer.Option(help="Option of this training: steps=500, perceptual=0.3.")
    ] = None,
    warm_start: Annotated[bool, typer.Option(help="Continue from the artifact in the bundle.")] = True,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
) -> None:
    """Fit an editor and write it into the bundle."""
    from pipelines.cli.method_options import parse_options
    from pipelines.cli.tables import training_line
    from pipelines.jobfile.s3_environment import s3_options
    from tasks.artifacts.train_bundled import train_bundled

    changes = parse_options(option or (), method)
    given, s3 = captions or (), s3_options({})
    path, report = train_bundled(bundle, method, given, changes, device, warm_start, training_line, s3)
    print(f"{path}: {report.steps} steps in {report.seconds:.0f} s")


@zoo_app.command()
def check(bundle: Annotated[str, typer.Argument(help="A name of the catalogue or a folder.")] = "portraits") -> None:
    """Load every network of a bundle, strictly, and show the size and measured quality in its files."""
    from coral_core.bundle.catalog import read_bundle
    from coral_core.bundle.models import load_models
    from pipelines.cli.console import show
    from pipelines.cli.tables import bundle_table

    load_models(bundle)
    show(bundle_table(read_bundle(bundle)))


@zoo_app.command()
def gallery(
    to: Annotated[Path, typer.Argument(help="Folder for the pictures.")],
    bundle: Annotated[str, typer.Option(help="A name of the catalogue or a folder.")] = "portraits",
) -> None:
    """Draw a picture for each kind of network: its output for held-out scenes, or its training data."""
    from pipelines.bench.network_gallery import write_gallery

    for path in write_gallery(bundle, to):
        print(path)


@zoo_app.command()
def curve(
    name: Annotated[str, typer.Argument(help="A network that was trained here.")],
    folder: Annotated[Path, typer.Option(help="Folder of the training.")] = Path("runs/zoo"),
) -> None:
    """Print the loss curve of the last training as a Mermaid chart, which Markdown viewers draw."""
    from coral_core.zoo.train import read_curve
    from pipelines.cli.tables import curve_chart

    print(curve_chart(name, read_curve(folder, name)))
