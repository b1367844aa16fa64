"""Chooses the rows that a page shows: both ends and the middle of every score, random ones, and some without image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from manifests.parquet.row_places import RowPlace
from manifests.query import HAS_IMAGE, Ask, sql_literal
from pipelines.report.figures import EditFigures

MAX_PICKS = 36
"""Largest number of rows of one edit, not counting those without an image."""
PER_ROLE = 2
"""Rows per role (top, middle, bottom) of every score."""
RANDOM = 6
"""Random rows of each edit."""
FAILED = 2
"""Rows without an image, per edit and status."""

ROLES = ("top", "bottom", "middle")

_ROW_PLACE = "{'uri': image_uri, 'group': row_group, 'row': row}"


@dataclass
class Pick:
    """One chosen row of the manifest, and why it was chosen."""

    row: Mapping[str, Any]
    roles: dict[str, str] = field(default_factory=dict)  # score -> "top", "middle" or "bottom"
    random: bool = False


@dataclass(frozen=True)
class _Candidates:
    """Rows of one edit that may be shown, from one query."""

    roles: Mapping[tuple[str, str], Sequence[RowPlace]]  # (score, role) -> rows, the most extreme first
    random: Sequence[RowPlace]

    def places(self) -> Iterator[RowPlace]:
        """The rows, the most important first; a row may occur more than once."""
        yield from self.random[:RANDOM]
        for rank in range(PER_ROLE):
            yield from (places[rank] for places in self.roles.values() if rank < len(places))
        yield from self.random


def picks(ask: Ask, rows: str, figures: Mapping[str, EditFigures]) -> dict[str, list[Pick]]:
    """The chosen rows by edit id. `rows` is a subquery over the manifest."""
    found = {edit: _choose(ask, rows, edit, figures[edit]) for edit in figures}
    chosen = {edit: list(islice(dict.fromkeys(candidates.places()), MAX_PICKS)) for edit, candidates in found.items()}
    stored = _read(ask, rows, [place for places in chosen.values() for place in places])
    result: defaultdict[str, list[Pick]] = defaultdict(list)
    for edit, places in chosen.items():
        result[edit] = [_pick(stored[place], place, found[edit]) for place in places if place in stored]
    for row in _failed(ask, rows):
        result[row["edit"]].append(Pick(row))
    return dict(result)


def _pick(row: Mapping[str, Any], place: RowPlace, candidates: _Candidates) -> Pick:
    pick = Pick(row, random=place in candidates.random[:RANDOM])
    for (score, role), places in candidates.roles.items():
        if place in places:
            pick.roles.setdefault(score, role)
    return pick


def _choose(ask: Ask, rows: str, edit: str, figures: EditFigures) -> _Candidates:
    wanted = [f"min_by({_ROW_PLACE}, hash(source_uri, key), {MAX_PICKS}) AS random"]
    for score, own in figures.quantiles.items():
        finite = f"FILTER (WHERE isfinite({score}))"
        wanted += [
            f"max_by({_ROW_PLACE}, {score}, {PER_ROLE}) {finite} AS {score}_top",
            f"min_by({_ROW_PLACE}, {score}, {PER_ROLE}) {finite} AS {score}_bottom",
            f"min_by({_ROW_PLACE}, abs({score} - ({own.median})), {PER_ROLE}) {finite} AS {score}_middle",
        ]
    sql = f"SELECT {', '.join(wanted)} FROM {rows} WHERE {HAS_IMAGE} AND edit = {sql_literal(edit)}"
    (found,) = ask(sql).to_pylist()
    places = {name: [RowPlace(each["uri"], each["group"], each["row"]) for each in found[name] or ()] for name in found}
    roles = {(score, role): places[f"{score}_{role}"] for score in figures.quantiles for role in ROLES}
    return _Candidates(roles, places["random"])


def _read(ask: Ask, rows: str, places: Sequence[RowPlace]) -> dict[RowPlace, dict[str, Any]]:
    """The rows at these places, with all columns."""
    if not places:
        return {}
    uris = ", ".join(sorted({sql_literal(uri) for uri, _, _ in places}))
    keys = ", ".join(f"({sql_literal(uri)}, {group}, {row})" for uri, group, row in places)
    sql = f"SELECT * FROM {rows} WHERE image_uri IN ({uris}) AND (image_uri, row_group, row) IN ({keys})"
    return {RowPlace(row["image_uri"], row["row_group"], row["row"]): row for row in ask(sql).to_pylist()}


def _failed(ask: Ask, rows: str) -> list[dict[str, Any]]:
    """FAILED rows without an image of each edit and status."""
    sql = f"""SELECT * FROM {rows} WHERE NOT {HAS_IMAGE}
        QUALIFY row_number() OVER (PARTITION BY edit, status ORDER BY key) <= {FAILED} ORDER BY edit, status, key"""
    return ask(sql).to_pylist()
