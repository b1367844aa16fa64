"""`coral bench`. Each command imports its modules when it is called, so that --help is fast."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipelines.bench.workers import Done

bench_app = typer.Typer(help="Measure networks and methods against ground truth.", no_args_is_help=True)

Bundle = Annotated[str, typer.Option(help="A name of the catalogue or a folder of weight files.")]
Device = Annotated[str, typer.Option(help="torch device.")]
Folder = Annotated[Path, typer.Option(help="For fits, records, rendered scenes and reports.")]
PromptFile = Annotated[str, typer.Option(help="A prompt file, or a shipped one: dev, dev-wide, test, reworded.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")]


@bench_app.command()
def models(
    bundle: Bundle = "portraits",
    device: Device = "cpu",
    folder: Folder = Path("runs/bench"),
    json_file: JsonFile = None,
) -> None:
    """Measure every network of a bundle on held-out scenes."""
    from pipelines.bench.network_quality import ModelsConfig, lines, measure_models
    from pipelines.bench.table import cell

    def print_seconds(name: str, seconds: float) -> None:
        print(f"{name}: {seconds:.0f} s", file=sys.stderr, flush=True)

    found = measure_models(ModelsConfig(bundle=bundle, device=device, folder=folder), print_seconds)
    for network, figure, value in lines(found):
        print(f"{network:<10} {figure:<22} {cell(value)}")
    _save(json_file, found)


@bench_app.command()
def quality(
    methods: Annotated[str, typer.Option(help="Names separated by commas; all methods by default.")] = "",
    prompts: PromptFile = "dev",
    scenes: Annotated[int, typer.Option(min=1, help="Candidate scenes; edits are scored where they apply.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed for the choice of scenes.")] = 0,
    split: Annotated[str, typer.Option(help="Range of the scenes: dev or test.")] = "dev",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
    bundle: Bundle = "portraits",
    device: Device = "cpu",
    folder: Folder = Path("runs/bench"),
    json_file: JsonFile = None,
) -> None:
    """Measure every method on every prompt against the exact answers. It continues after an interruption."""
    from pipelines.bench.bench_report import write_report
    from pipelines.bench.cases import SceneSelection
    from pipelines.bench.method_quality import QualityConfig, check_methods, measure_quality
    from pipelines.bench.prompts import read_prompts
    from pipelines.bench.records import means
    from pipelines.bench.table import table
    from pipelines.bench.workers import default_workers

    chosen = check_methods([name.strip() for name in methods.split(",") if name.strip()])
    wanted = read_prompts(prompts)
    selection = SceneSelection(split=split, scenes=scenes, seed=seed)
    config = QualityConfig(bundle=bundle, device=device, folder=folder, selection=selection)
    records = list(means(measure_quality(config, chosen, wanted, workers or default_workers(device), _print_progress)))
    page = write_report(config, Path(prompts).stem, chosen, records)
    print(table(records, "mean"))
    print(f"\nall prompts, with pictures: {page}")
    _save(json_file, [record.to_json() for record in records])


@bench_app.command()
def edits(
    method: Annotated[str, typer.Option(help="A method whose fit serves any prompt.")] = "clipinverter",
    prompts: PromptFile = "dev",
    images: Annotated[int, typer.Option(min=1, help="Generator samples, in batches of 16.")] = 1000,
    count: Annotated[int, typer.Option(min=1, help="Prompts for each image.")] = 20,
    bundle: Bundle = "portraits",
    device: Device = "cpu",
    folder: Folder = Path("runs/bench"),
    json_file: JsonFile = None,
) -> None:
    """Time many prompts on the same images, compared with encoder and generator passes and with an optimisation."""
    from dataclasses import asdict

    from pipelines.bench.edit_cost import check_method, measure_edits
    from pipelines.bench.method_quality import QualityConfig, open_bench
    from pipelines.bench.prompts import read_prompts

    chosen, wanted = check_method(method), read_prompts(prompts)
    bench = open_bench(QualityConfig(bundle=bundle, device=device, folder=folder))
    cost = measure_edits(bench, chosen, wanted, images, count, _print_progress)
    print(
        f"{cost.method}: {cost.images} images, {cost.prompts} prompts each in {cost.edit_seconds:.1f} s, "
        f"{cost.ratio:.2f} times the bare passes ({cost.passes_seconds:.1f} s); "
        f"{cost.gain:.0f} times less per edit than styleclip-optimization ({1000 * cost.search_seconds:.0f} ms)"
    )
    _save(json_file, asdict(cost) | {"ratio": cost.ratio, "gain": cost.gain})


@bench_app.command()
def fits(
    methods: Annotated[str, typer.Option(help="Names separated by commas; default: all fitted per prompt.")] = "",
    prompts: PromptFile = "dev",
    scenes: Annotated[int, typer.Option(min=1, help="Candidate scenes (dev range) for judging running fits.")] = 32,
    workers: Annotated[int, typer.Option(min=1, help="Processes; several make each other's times less exact.")] = 1,
    bundle: Bundle = "portraits",
    device: Device = "cpu",
    folder: Folder = Path("runs/bench"),
    json_file: JsonFile = None,
) -> None:
    """Time the fits: seconds per step, compared with the plain loop, and seconds until edits are judged good."""
    from dataclasses import asdict

    from pipelines.bench.cases import SceneSelection
    from pipelines.bench.fit_cost import fit_methods, measure_fits
    from pipelines.bench.method_quality import QualityConfig
    from pipelines.bench.prompts import read_prompts
    from pipelines.bench.table import cell

    chosen = [name.strip() for name in methods.split(",") if name.strip()] or list(fit_methods())
    config = QualityConfig(bundle=bundle, device=device, folder=folder, selection=SceneSelection(scenes=scenes))
    found = [asdict(cost) for cost in measure_fits(config, chosen, read_prompts(prompts), workers, _print_progress)]
    for row in found:
        print(f"{row['method']:<26}", *(f"{name} {cell(value)}" for name, value in row.items() if name != "method"))
    _save(json_file, found)


@bench_app.command()
def manifest(
    requests: Annotated[str, typer.Option(help="Edits of shards, several numbers separated by commas.")] = "1000",
    rows: Annotated[int, typer.Option(min=1, help="Of each request.")] = 100,
    folder: Annotated[Path, typer.Option(help="For the outputs, which are removed at the end.")] = Path("runs/scale"),
    json_file: JsonFile = None,
) -> None:
    """Time planning, publishing and reading on outputs with many commits, which are made without networks."""
    import shutil
    from dataclasses import asdict

    from pipelines.bench.manifest_scale import ScaleConfig, measure_scale, table

    costs = []
    for count in [int(number) for number in requests.split(",")]:
        config = ScaleConfig(folder=(folder / str(count)).absolute(), requests=count, rows=rows)
        costs += measure_scale(config, lambda cost: print(table([cost]).splitlines()[-1], file=sys.stderr, flush=True))
        shutil.rmtree(config.folder)
    print(table(costs))
    _save(json_file, [asdict(cost) for cost in costs])


def _print_progress(done: Done) -> None:
    left = done.seconds / done.count * (done.total - done.count)
    progress = f"{done.count}/{done.total}, {done.seconds:.0f} s, about {left:.0f} s left"
    print(f"{progress}: {done.label}", file=sys.stderr, flush=True)


def _save(path: Path | None, content: Any) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
