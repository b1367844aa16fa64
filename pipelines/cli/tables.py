"""Tables and lines that the commands print."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pipelines.cli.console import WIDE, cut, grid, one_line, show
from tasks.spec.gates import BOUNDS

if TYPE_CHECKING:
    from coral_core.bundle.catalog import Bundle
    from pipelines.flow.flow import RunSummary
    from pipelines.report.prefect_task import ReportAddress
    from tasks.plan.status import EditStatus, OutputStatus, Share
    from tasks.publish.gc import Leftovers
    from tasks.publish.publish import Publication
    from tasks.run.waves import WaveSummary

TRACEBACKS = 3
WORKS: Mapping[str, str] = {"invert": "shards", "fit": "editors", "edit": "edits of shards"}
"""Wave -> what it counts."""
WORK_COLUMNS = ("all", "done", "to do")
HAS_IMAGE = frozenset({"ok", "rejected"})
"""Statuses of rows with an edited image."""
LEGEND = "edited = ok + rejected by a gate"


def run_tables(summary: RunSummary) -> Iterator[RenderableType]:
    """The result of a run: the failures, the waves, the edits."""
    shown = 0
    for failure in summary.failures:
        yield Text(f"{failure.work}: {failure.error}", style="red")
        if failure.traceback and not failure.error.startswith("ValueError") and shown < TRACEBACKS:
            shown += 1
            yield Text(failure.traceback, style="dim")
    for excluded in summary.excluded:
        yield Text(excluded, style="yellow")
    for wave in summary.waves:
        yield Text(wave_line(wave))
    yield from publication_tables(summary.output, summary.edits, summary.publication)
    if summary.actor_hours:
        yield Text(f"{summary.actor_hours:.3g} actor hours{f', {summary.cost}' if summary.cost else ''}")
    if summary.left:
        yield Text(
            f"max_hours is used up, and {summary.left} pieces of work are left; the same command goes on with them",
            style="yellow",
        )
    yield report_line(summary.report)


def report_line(report: ReportAddress) -> Text:
    """The address of the report, or why there is none."""
    if report.problem:
        return Text(f"no report: {report.problem}", style="red")
    return Text(f"report: {report.address}")


def publication_tables(output: str, edits: Sequence[EditStatus], publication: Publication) -> Iterator[RenderableType]:
    """The published rows, and what a publish changed."""
    yield edits_table(edits, title=f"rows of this job in {output}")
    yield rows_line(edits, publication.rows, publication.version)
    again = f", {publication.republished} published again" if publication.republished else ""
    yield Text(f"edits of shards: {publication.published} published{again}")


def rows_line(edits: Sequence[EditStatus], rows: int, version: int) -> Text:
    """The rows of an output, and how many of them belong to the job."""
    own = sum(edit.rows for edit in edits)
    return Text(f"manifest: {rows} rows of all jobs, {own} of them of this job; version {version}")


def wave_line(wave: WaveSummary) -> str:
    """The line of a wave."""
    rate = f", {wave.samples / wave.seconds:.1f} img/s" if wave.samples and wave.seconds else ""
    images = f", {wave.samples} images" if wave.samples else ""
    failures = f", {len(wave.failures)} not done" if wave.failures else ""
    work = f"{wave.done} {WORKS[wave.wave]} done, {wave.reused} reused"
    return f"{wave.wave:<7} {work}{failures}{images}, {wave.seconds:.1f} s{rate}"


def status_tables(status: OutputStatus) -> Iterator[RenderableType]:
    """The progress of an output."""
    work = [(name, *work_cells(share)) for name, share in status.work.shares()]
    yield grid(f"{status.output}: job {status.job}, run {status.run_id}", ("", *WORK_COLUMNS), work)
    yield edits_table(status.edits, title="rows of this job")
    yield rows_line(status.edits, status.rows, status.snapshot)


def work_cells(share: Share) -> tuple[str, str, str]:
    """The cells of WORK_COLUMNS."""
    return str(share.total), str(share.done), str(share.total - share.done)


def edits_table(edits: Sequence[EditStatus], title: str) -> RenderableType:
    """Rows of each edit: with an edited image (ok, or rejected by which gate), and the others by status."""
    others = sorted({name for edit in edits for name in edit.counts} - HAS_IMAGE)
    gates = [gate for gate in BOUNDS if any(gate in edit.gates for edit in edits)]
    columns = ("edit", "rows", "edited", "ok", "rejected", *(f"by {gate}" for gate in gates), *others, "prompt")
    rows: list[tuple[str | Text, ...]] = []
    for edit in edits:
        counts = [edit.counts.get(name, 0) for name in ("ok", "rejected")]
        by_gate = [edit.gates.get(name, 0) for name in gates]
        numbers = [edit.rows, edit.edited, *counts, *by_gate, *(edit.counts.get(name, 0) for name in others)]
        rows.append((edit.edit, *map(str, numbers), cut(edit.prompt)))
    return grid(f"{title} ({LEGEND})", columns, rows)


def leftover_lines(leftovers: Leftovers, deleted: bool) -> Iterator[str]:
    """The objects and uploads that nothing refers to, and whether they were deleted."""
    for info in leftovers.objects:
        yield f"{datetime.fromtimestamp(info.modified):%Y-%m-%d %H:%M}  {info.size / 1e6:10.2f} MB  {info.key}"
    for upload in leftovers.uploads:
        yield f"{datetime.fromtimestamp(upload.started):%Y-%m-%d %H:%M}  unfinished upload  {upload.key or upload.id}"
    count = (
        f"{len(leftovers.objects)} objects, {leftovers.size / 1e6:.1f} MB; {len(leftovers.uploads)} unfinished uploads"
    )
    yield f"{count}: deleted" if deleted else f"{count}; --delete removes them"


def bundle_table(bundle: Bundle) -> RenderableType:
    """Size and measured quality of each network, from the header of its file."""
    from coral_core.bundle.weights import read_header

    rows = []
    for part in bundle.digests:
        path = bundle.path / f"{part}.safetensors"
        header = read_header(path)
        metrics = ", ".join(f"{name} {text(value)}" for name, value in header.metrics.items())
        rows.append((part, f"{path.stat().st_size / 1e6:.2f}", f"{header.recipe.get('steps', '?')} steps", metrics))
    return grid(f"bundle {bundle.name}, {bundle.image_size} px", ("part", "MB", "trained", "metrics"), rows)


def write_rows(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], form: Literal["table", "json", "csv"]
) -> None:
    """Print the result of a query."""
    if form == "json":
        json.dump([{name: json_value(value) for name, value in row.items()} for row in rows], sys.stdout, default=str)
        print()
    elif form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([full_text(row[name]) for name in columns] for row in rows)
    else:
        show(QueryResult(columns, [[row[name] for name in columns] for row in rows]))


@dataclass(frozen=True)
class QueryResult:
    """Rows as a table; if the terminal is too narrow for it, one small table per row with a line per column."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self._table()
        if Measurement.get(console, options.update(width=WIDE), table).maximum <= options.max_width:
            yield table
            return
        for number, row in enumerate(self.rows, 1):
            cells = [Text(one_line(text(value)), overflow="fold") for value in row]
            yield grid(f"row {number}", ("column", "value"), zip(self.columns, cells, strict=True))

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name, values in zip(self.columns, zip(*self.rows, strict=True) if self.rows else repeat(()), strict=False):
            numbers = all(value is None or isinstance(value, int | float) for value in values)
            table.add_column(name, justify="right" if numbers else "left")
        for row in self.rows:
            table.add_row(*(Text(one_line(text(value))) for value in row))
        return table


def text(value: Any) -> str:
    """A value as a cell of a table: numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else full_text(value)


def full_text(value: Any) -> str:
    """A value as a cell for further processing: every digit of a number; lists and structs as JSON."""
    if value is None:
        return ""
    return json.dumps(json_value(value), default=str) if isinstance(value, list | dict) else str(value)


def json_value(value: Any) -> Any:
    """The value for JSON, in which numbers that are not finite become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: json_value(item) for name, item in value.items()}
    return [json_value(item) for item in value] if isinstance(value, list) else value


def training_line(step: int, steps: int, losses: Mapping[str, float]) -> None:
    """Print the losses of a training every 50 steps and at its end."""
    if step % 50 == 0 or step == steps:
        terms = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        print(f"{step}/{steps}: {terms}", file=sys.stderr, flush=True)


def curve_chart(name: str, points: Sequence[tuple[int, float]]) -> str:
    """A loss curve as a Mermaid xychart. Errors: ValueError if there are fewer than two points."""
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
