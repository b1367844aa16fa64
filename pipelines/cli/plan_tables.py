"""Output of `coral plan`: the edits, the work done and left, what it reads and writes, and how long it takes."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from pipelines.cli.console import cut, grid, one_line
from pipelines.cli.tables import WORK_COLUMNS, work_cells
from pipelines.report.wishes import combined_wishes
from tasks.estimate.forecast import ActorTimes, Forecast
from tasks.estimate.workload import Estimate, Load, SampleCounts
from tasks.plan.plan import Plan
from tasks.plan.status import WorkStatus
from tasks.spec.gates import Gates

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def plan_tables(plan: Plan, status: WorkStatus, estimate: Estimate) -> Iterator[RenderableType]:
    """The tables for a plan: its edits, and the work that a run would do."""
    yield planned_edits(plan)
    yield from wishes_lines(plan)
    loads = {"shards inverted": estimate.invert, "edits of shards": estimate.edit}
    shards = f"{len(plan.shards)} ({size_text(sum(shard.size for shard in plan.shards))})"
    rows: list[tuple[str, ...]] = [("shards", shards), ("samples", str(estimate.samples))]
    rows += [(name, *work_cells(share), *_load(loads.get(name, Load()))) for name, share in status.shares()]
    columns = ("", *WORK_COLUMNS, "images", "read", "write")
    yield grid(f"work in {plan.output} (images, read and write: of what is to do)", columns, rows)
    limited = "" if plan.limit_samples is None else f", the first {plan.limit_samples} of the input"
    yield Text(f"samples {estimate.samples_basis}{limited}; bytes to write {estimate.image_basis}", style="dim")
    yield from (Text(line, style="yellow") for line in plan.passed_over)


def planned_edits(plan: Plan) -> RenderableType:
    """The edits of a plan: id in rows, method, strength, gates and prompt."""
    rows = [
        (edit.edit_id, edit.method, f"{edit.strength:g}", gates_text(plan.rules_of(edit).gates), cut(edit.target))
        for edit in plan.edits
    ]
    return grid(f"edits of the job {plan.job['name']}", ("edit", "method", "strength", "gates", "prompt"), rows)


def wishes_lines(plan: Plan) -> Iterator[Text]:
    """One line per edit that combines several wishes, so that a sentence that was divided wrongly is noticed."""
    for edit in plan.edits:
        if wishes := combined_wishes(edit):
            yield Text(one_line(f"{edit.edit_id} combines: {'; '.join(wishes)}"), style="dim")


def gates_text(gates: Gates) -> str:
    """The gates of an edit in the order in which they are applied."""
    return ", ".join(f"{gate} {threshold:g}" for gate, threshold in gates.active.items()) or "none"


def forecast_tables(forecast: Forecast, times: ActorTimes, counts: SampleCounts) -> Iterator[RenderableType]:
    """The duration of a run as estimated from a pilot, and the number of samples it is for."""
    actors = f"{forecast.actors} actor{'s' * (forecast.actors != 1)}"
    waves = {**forecast.waves, "in all": forecast.hours}
    rows = [(wave, hours_text(hours)) for wave, hours in waves.items()]
    yield grid(f"by a pilot of {times.samples} samples, with {actors}", ("wave", "time (h:mm:ss)"), rows)
    money = f", {forecast.money}" if forecast.money else ""
    yield Text(f"{forecast.actor_hours:.3g} actor hours{money}; one actor takes {times_text(times)}", style="dim")
    yield Text(f"for {counts.total} samples, {counts.basis}", style="dim")


def times_text(times: ActorTimes) -> str:
    """The time per image on one actor, in milliseconds, and the additional time per shard, in seconds."""
    edits = sum(times.edits.values()) / len(times.edits) if times.edits else 0.0
    invert, restore = (cost.per_shard + cost.per_byte * times.size for cost in (times.invert, times.restore))
    return (
        f"{1000 * times.invert.per_image:.3g} ms to invert an image, {1000 * times.restore.per_image:.3g} ms to "
        f"restore it and {1000 * edits:.3g} ms for each edit; besides, {invert:.2g} s to invert and {restore:.2g} s "
        f"to edit a shard of {size_text(times.size)}, and {times.start:.2g} s to start"
    )


def size_text(size: float) -> str:
    """A number of bytes with three digits and a unit."""
    for unit in UNITS:
        if size < 1000 or unit == UNITS[-1]:
            break
        size /= 1000
    return f"{size:.3g} {unit}"


def hours_text(hours: float) -> str:
    """A duration as h:mm:ss."""
    seconds = round(hours * 3600)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _load(load: Load) -> tuple[str, str, str]:
    if not load.images:
        return ("", "", "")
    return str(load.images), size_text(load.read), size_text(load.written)
