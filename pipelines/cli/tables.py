"""What the commands print."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tasks.spec.gates import BOUNDS

if TYPE_CHECKING:
    from coral_core.bundle.catalog import Bundle
    from pipelines.flow.flow import RunSummary
    from pipelines.report.prefect_task import ReportAddress
    from tasks.plan.status import EditStatus, OutputStatus
    from tasks.publish.gc import Leftovers
    from tasks.publish.publish import Publication
    from tasks.run.waves import WaveSummary

TRACEBACKS = 3


def show(*what: RenderableType) -> None:
    """Print to the terminal."""
    console = Console(highlight=False)
    for each in what:
        console.print(each)


def run_tables(summary: RunSummary) -> Iterator[RenderableType]:
    """What became of a run: the failures, the waves, the edits."""
    shown = 0
    for failure in summary.failures:
        yield Text(f"{failure.work}: {failure.error}", style="red")
        if failure.traceback and not failure.error.startswith("ValueError") and shown < TRACEBACKS:
            shown += 1
            yield Text(failure.traceback, style="dim")
    for wave in summary.waves:
        yield Text(wave_line(wave))
    yield edits_table(summary.edits, title=f"published in {summary.output}")
    yield publication_line(summary.publication)
    if summary.actor_hours:
        yield Text(f"{summary.actor_hours:.3g} actor hours{f', {summary.cost}' if summary.cost else ''}")
    if summary.left:
        yield Text(
            f"max_hours is used up, and {summary.left} pieces of work are left; the same command goes on with them",
            style="yellow",
        )
    yield report_line(summary.report)


def report_line(report: ReportAddress) -> Text:
    """Where the page is."""
    if report.problem:
        return Text(f"no report: {report.problem}", style="red")
    return Text(f"report: {report.address}")


def publication_line(publication: Publication) -> Text:
    """What a publish did, and what readers see now."""
    again = f", {publication.republished} published again" if publication.republished else ""
    done = f"{publication.published} published{again}"
    return Text(f"manifest: {publication.rows} rows, snapshot {publication.version}; edits of shards: {done}")


def wave_line(wave: WaveSummary) -> str:
    """One line per wave."""
    rate = f", {wave.samples / wave.seconds:.1f} img/s" if wave.samples and wave.seconds else ""
    images = f", {wave.samples} images" if wave.samples else ""
    failures = f", {len(wave.failures)} failed" if wave.failures else ""
    return f"{wave.wave:<7} {wave.done} done, {wave.reused} reused{failures}{images}, {wave.seconds:.1f} s{rate}"


def status_tables(status: OutputStatus) -> Iterator[RenderableType]:
    """How far an output is."""
    table = grid(f"{status.output}, run {status.run_id}", "", "done", "all")
    for name, share in status.work.shares():
        table.add_row(name, str(share.done), str(share.total))
    yield table
    yield edits_table(status.edits, title=f"manifest: {status.rows} rows, snapshot {status.snapshot}")


def edits_table(edits: Sequence[EditStatus], title: str) -> Table:
    """Rows of each edit by status, and what was rejected by gate."""
    statuses = sorted({name for edit in edits for name in edit.counts}, key=lambda name: (name != "ok", name))
    gates = [gate for gate in BOUNDS if any(gate in edit.gates for edit in edits)]
    table = grid(title, "edit", "prompt", *statuses, *gates)
    for edit in edits:
        by_status = [str(edit.counts.get(name, 0)) for name in statuses]
        by_gate = [str(edit.gates.get(name, 0)) for name in gates]
        table.add_row(edit.edit, edit.prompt, *by_status, *by_gate)
    return table


def leftover_lines(found: Leftovers, deleted: bool) -> Iterator[str]:
    """What nothing points to, and what became of it."""
    for info in found.objects:
        yield f"{datetime.fromtimestamp(info.modified):%Y-%m-%d %H:%M}  {info.size / 1e6:10.2f} MB  {info.key}"
    for upload in found.uploads:
        yield f"{datetime.fromtimestamp(upload.started):%Y-%m-%d %H:%M}  unfinished upload  {upload.key or upload.id}"
    count = f"{len(found.objects)} objects, {found.size / 1e6:.1f} MB; {len(found.uploads)} unfinished uploads"
    yield f"{count}: deleted" if deleted else f"{count}; --delete removes them"


def bundle_table(bundle: Bundle) -> Table:
    """Size and measured quality of each network, as its file says."""
    from coral_core.bundle.weights import read_header

    table = grid(f"bundle {bundle.name}, {bundle.image_size} px", "part", "MB", "trained", "metrics")
    for part in bundle.digests:
        path = bundle.path / f"{part}.safetensors"
        header = read_header(path)
        metrics = ", ".join(f"{name} {text(value)}" for name, value in header.metrics.items())
        table.add_row(part, f"{path.stat().st_size / 1e6:.2f}", f"{header.recipe.get('steps', '?')} steps", metrics)
    return table


def grid(title: str, *columns: str) -> Table:
    """An empty table; what is no text to the right."""
    table = Table(title=title, title_justify="left", min_width=len(title), box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 or name in ("prompt", "metrics") else "right")
    return table


def write_rows(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], form: Literal["table", "json", "csv"]
) -> None:
    """The result of a query on standard output."""
    if form == "json":
        json.dump([{name: plain(value) for name, value in row.items()} for row in rows], sys.stdout, default=str)
        print()
    elif form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([whole(row[name]) for name in columns] for row in rows)
    else:
        table = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(text(row[name])) for name in columns))
        show(table)


def text(value: Any) -> str:
    """One cell to look at: four digits of a number say enough."""
    return f"{value:.4g}" if isinstance(value, float) else whole(value)


def whole(value: Any) -> str:
    """One cell to go on with: every digit of a number; lists and structs as JSON."""
    if value is None:
        return ""
    return json.dumps(plain(value), default=str) if isinstance(value, list | dict) else str(value)


def plain(value: Any) -> Any:
    """The value as JSON has it: what is not a finite number is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def training_line(step: int, steps: int, losses: Mapping[str, float]) -> None:
    """A line of a training now and then."""
    if step % 50 == 0 or step == steps:
        terms = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        print(f"{step}/{steps}: {terms}", file=sys.stderr, flush=True)


def curve_chart(name: str, points: Sequence[tuple[int, float]]) -> str:
    """A loss curve as Mermaid's xychart. ValueError without two points to draw a line through."""
    if len(points) < 2:
        raise ValueError(f"the training of {name} was {len(points)} step long; a curve takes 2 or more")
    losses = ", ".join(f"{loss:.5f}" for _, loss in points)  # Mermaid reads no exponents
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f'    x-axis "steps of {name}" {points[0][0]} --> {points[-1][0]}',
            '    y-axis "loss"',
            f"    line [{losses}]",
            "```",
        ]
    )


def scores_line(row: Mapping[str, Any]) -> str:
    """The scores of one edited image."""
    return ", ".join(f"{name} {row[name]:.3f}" for name in ("direction", "identity", "outside", "area"))
