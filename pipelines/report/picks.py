"""Which rows a page draws: the ends and the middle of every score, some at random, some that failed. Never more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from manifests.parquet.row_places import RowPlace
from manifests.query import PICTURED, Ask, quoted
from pipelines.report.figures import EditFigures

DRAWN = 36
"""Rows of one edit that a page draws at most, beside those without an image."""
EACH = 2
"""Rows at each end and in the middle of every score."""
RANDOM = 6
FAILED = 2
"""Rows without an image, of each status."""

ROLES = ("top", "bottom", "middle")

_ROW_PLACE = "{'uri': image_uri, 'group': row_group, 'row': row}"


@dataclass
class Pick:
    """One row of the manifest that is drawn, and why."""

    row: Mapping[str, Any]
    roles: dict[str, str] = field(default_factory=dict)  # score -> "top", "middle" or "bottom"
    random: bool = False


@dataclass(frozen=True)
class _Choice:
    """What one pass over the rows of an edit found."""

    roles: Mapping[tuple[str, str], Sequence[RowPlace]]  # (score, role) -> rows, the most extreme first
    random: Sequence[RowPlace]

    def places(self) -> Iterator[RowPlace]:
        """The rows, those that matter most first; some more than once."""
        yield from self.random[:RANDOM]
        for rank in range(EACH):
            yield from (places[rank] for places in self.roles.values() if rank < len(places))
        yield from self.random


def picks(ask: Ask, rows: str, figures: Mapping[str, EditFigures]) -> dict[str, list[Pick]]:
    """By edit id. `rows` is a subquery over the manifest."""
    found = {edit: _choose(ask, rows, edit, figures[edit]) for edit in figures}
    drawn = {edit: list(islice(dict.fromkeys(choice.places()), DRAWN)) for edit, choice in found.items()}
    stored = _read(ask, rows, [place for places in drawn.values() for place in places])
    result: defaultdict[str, list[Pick]] = defaultdict(list)
    for edit, places in drawn.items():
        result[edit] = [_pick(stored[place], place, found[edit]) for place in places if place in stored]
    for row in _failed(ask, rows):
        result[row["edit"]].append(Pick(row))
    return dict(result)


def _pick(row: Mapping[str, Any], place: RowPlace, choice: _Choice) -> Pick:
    pick = Pick(row, random=place in choice.random[:RANDOM])
    for (score, role), places in choice.roles.items():
        if place in places:
            pick.roles.setdefault(score, role)
    return pick


def _choose(ask: Ask, rows: str, edit: str, figures: EditFigures) -> _Choice:
    wanted = [f"min_by({_ROW_PLACE}, hash(source_uri, key), {DRAWN}) AS random"]
    for score, spread in figures.spreads.items():
        finite = f"FILTER (WHERE isfinite({score}))"
        wanted += [
            f"max_by({_ROW_PLACE}, {score}, {EACH}) {finite} AS {score}_top",
            f"min_by({_ROW_PLACE}, {score}, {EACH}) {finite} AS {score}_bottom",
            f"min_by({_ROW_PLACE}, abs({score} - ({spread.median})), {EACH}) {finite} AS {score}_middle",
        ]
    sql = f"SELECT {', '.join(wanted)} FROM {rows} WHERE {PICTURED} AND edit = {quoted(edit)}"
    (found,) = ask(sql).to_pylist()
    places = {name: [RowPlace(each["uri"], each["group"], each["row"]) for each in found[name] or ()] for name in found}
    roles = {(score, role): places[f"{score}_{role}"] for score in figures.spreads for role in ROLES}
    return _Choice(roles, places["random"])


def _read(ask: Ask, rows: str, places: Sequence[RowPlace]) -> dict[RowPlace, dict[str, Any]]:
    """All columns of the rows at the places."""
    if not places:
        return {}
    uris = ", ".join(sorted({quoted(uri) for uri, _, _ in places}))
    spots = ", ".join(f"({quoted(uri)}, {group}, {row})" for uri, group, row in places)
    sql = f"SELECT * FROM {rows} WHERE image_uri IN ({uris}) AND (image_uri, row_group, row) IN ({spots})"
    return {RowPlace(row["image_uri"], row["row_group"], row["row"]): row for row in ask(sql).to_pylist()}


def _failed(ask: Ask, rows: str) -> list[dict[str, Any]]:
    """A few rows without an image of each edit and status."""
    sql = f"""SELECT * FROM {rows} WHERE NOT {PICTURED}
        QUALIFY row_number() OVER (PARTITION BY edit, status ORDER BY key) <= {FAILED} ORDER BY edit, status, key"""
    return ask(sql).to_pylist()
