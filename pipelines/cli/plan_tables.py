"""What `coral plan` says of a job: what is there, what is to do, what that reads and writes, how long it takes."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from pipelines.cli.tables import grid
from tasks.estimate.forecast import ActorTimes, Forecast
from tasks.estimate.workload import Estimate, Load, SampleCounts
from tasks.plan.plan import Plan
from tasks.plan.status import WorkStatus

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def plan_tables(plan: Plan, status: WorkStatus, estimate: Estimate) -> Iterator[RenderableType]:
    """What a run would do."""
    loads = {"shards inverted": estimate.invert, "edits of shards": estimate.edit}
    table = grid(f"{plan.job['name']}: {plan.output}", "", "all", "done", "to do", "images", "read", "write")
    table.add_row("shards", f"{len(plan.shards)} ({size_text(sum(shard.size for shard in plan.shards))})")
    table.add_row("samples", str(estimate.samples))
    for name, share in status.shares():
        row = (name, str(share.total), str(share.done), str(share.total - share.done))
        table.add_row(*row, *_load(loads.get(name, Load())))
    yield table
    limited = "" if plan.limit_samples is None else f", the first {plan.limit_samples} of the input"
    yield Text(f"samples {estimate.samples_basis}{limited}; bytes to write {estimate.image_basis}", style="dim")


def forecast_tables(forecast: Forecast, times: ActorTimes, counts: SampleCounts) -> Iterator[RenderableType]:
    """How long a run would take, as a pilot says, and how many samples that is for."""
    actors = f"{forecast.actors} actor{'s' * (forecast.actors != 1)}"
    table = grid(f"by a pilot of {times.samples} samples, with {actors}", "wave", "time")
    for wave, hours in forecast.waves.items():
        table.add_row(wave, hours_text(hours))
    table.add_row("in all", hours_text(forecast.hours))
    yield table
    money = f", {forecast.money}" if forecast.money else ""
    yield Text(f"{forecast.actor_hours:.3g} actor hours{money}; one actor takes {times_text(times)}", style="dim")
    yield Text(f"for {counts.total} samples, {counts.basis}", style="dim")


def times_text(times: ActorTimes) -> str:
    """What an image takes on one actor, in milliseconds, and what a shard takes besides, in seconds."""
    edits = sum(times.edits.values()) / len(times.edits) if times.edits else 0.0
    invert, restore = (each.per_shard + each.per_byte * times.size for each in (times.invert, times.restore))
    return (
        f"{1000 * times.invert.per_image:.3g} ms to invert an image, {1000 * times.restore.per_image:.3g} ms to "
        f"restore it and {1000 * edits:.3g} ms for each edit; besides, {invert:.2g} s to invert and {restore:.2g} s "
        f"to edit a shard of {size_text(times.size)}, and {times.start:.2g} s to start"
    )


def size_text(size: float) -> str:
    """Bytes for people: three digits and a unit."""
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
