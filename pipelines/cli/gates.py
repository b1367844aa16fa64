"""Output of `coral gates`: the gates in force, or a suggestion to paste into the job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType

from manifests.stores.store import Store
from pipelines.cli.console import grid
from tasks.plan.plan import read_plans
from tasks.publish.gate_suggestions import GatesEffect, gates_in_force, suggested_gates


def read_effects(store: Store, keep: float | None, edit: str | None) -> list[GatesEffect]:
    """The gates in force, or with `keep` suggested ones, of every edit or of one (its id in the job or the manifest).

    A suggestion is for the job of the newest run, because earlier versions of its edits have the same ids in the job.
    Errors: ValueError if nothing is published, or there is no such edit.
    """
    if keep is None:
        effects = list(gates_in_force(store))
    else:
        effects = of_newest_run(store, list(suggested_gates(store, keep)), edit)
    chosen = [effect for effect in effects if edit in (None, effect.edit, slug_of(effect.edit))]
    if not chosen:
        known = ", ".join(sorted({effect.edit for effect in effects}))
        raise ValueError(
            f"no edit {edit!r} in the manifest; there are {known}"
            if effects
            else "no edited image is published in this output yet; run its job first"
        )
    return chosen


def of_newest_run(store: Store, effects: list[GatesEffect], edit: str | None) -> list[GatesEffect]:
    """The effects for the edits of the newest run, and for `edit` if it is a complete id in the manifest."""
    current = {spec.edit_id for plan in read_plans(store, newest=1) for spec in plan.edits}
    return [effect for effect in effects if effect.edit in current or effect.edit == edit]


def slug_of(edit_id: str) -> str:
    """The id that an edit has in the job."""
    return edit_id.rpartition("-")[0]


def gates_table(effects: Sequence[GatesEffect]) -> RenderableType:
    """One line per gate in force, and one for an edit without any."""
    rows: list[tuple[str, ...]] = []
    for effect in effects:
        lines = [
            (gate, f"{threshold:g}", str(effect.first[gate]), str(effect.alone[gate]))
            for gate, threshold in effect.gates.active.items()
        ]
        for number, line in enumerate(lines or [("none", "", "0", "0")]):
            heading = (effect.edit, str(effect.images)) if number == 0 else ("", "")
            rows.append((*heading, *line))
    columns = ("edit", "edited", "gate", "threshold", "rejected", "rejected if alone")
    return grid("gates in force, first to last: a row is rejected by the first that it fails", columns, rows)


def snippet(effects: Sequence[GatesEffect], keep: float) -> Iterator[str]:
    """The suggestion as a part of a job file, with the effect of each gate as a comment."""
    yield f"# Every gate cuts equally many images off the worse end of its score; all together keep {keep:.4g} of them."
    yield "edits:"
    for effect in effects:
        everything = f"together these gates reject {effect.rejected} of {effect.images} images of {effect.edit}"
        yield _commented(f"  - id: {slug_of(effect.edit)}", everything)
        if not effect.gates.active:
            yield _commented("    gates: {}", "every score is the same for all images")
            continue
        yield "    gates:"
        for gate, threshold in effect.gates.active.items():
            yield _commented(f"      {gate}: {threshold:g}", f"alone it rejects {effect.alone[gate]}")


def _commented(line: str, comment: str) -> str:
    return f"{line:<38}  # {comment}"


def as_json(effects: Sequence[GatesEffect]) -> list[dict[str, Any]]:
    """The effects as plain JSON."""
    return [
        {
            "edit": effect.edit,
            "images": effect.images,
            "rejected": effect.rejected,
            "gates": {
                gate: {"threshold": threshold, "rejects": effect.first[gate], "alone": effect.alone[gate]}
                for gate, threshold in effect.gates.active.items()
            },
        }
        for effect in effects
    ]
